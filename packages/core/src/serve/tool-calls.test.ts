import { expect, test } from "vitest";
import { toolCallsIn } from "./tool-calls.js";

const known = new Set(["add", "look_up"]);

test("calls between tags are taken out of the text", () => {
  const text =
    'I add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2]}}\n</tool_call>\n<tool_call>{"name":"look_up","arguments":{}}</tool_call>';
  expect(toolCallsIn(text, known)).toEqual({
    text: "I add.",
    calls: [
      { name: "add", arguments: '{"a":1,"b":[2]}' },
      { name: "look_up", arguments: "{}" },
    ],
  });
});

test("an answer that is a call as a whole is one, with either name for its arguments", () => {
  const call = { name: "add", arguments: '{"a":1}' };
  expect(toolCallsIn(' {"name":"add","arguments":{"a":1}}\n', known)).toEqual({ text: "", calls: [call] });
  expect(toolCallsIn('{"name":"add","parameters":{"a":1}}', known)).toEqual({ text: "", calls: [call] });
});

test.each([
  "no call",
  "{}",
  "null",
  '{"name":"rm","arguments":{}}',
  '{"name":"add","arguments":"{}"}',
  '{"name":"add"}',
  '<tool_call>{"name":"add","arguments":{}',
  '<tool_call>{"name":"add","arguments":{"a":</tool_call>',
  "<tool_call>[]</tool_call>",
])("what is no call of a known tool stays text: %s", (text) => {
  expect(toolCallsIn(text, known)).toEqual({ text, calls: [] });
});
