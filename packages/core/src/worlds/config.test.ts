import { expect, test } from "vitest";
import { z } from "zod";
import { UserError } from "../errors.js";
import { parseConfig } from "./config.js";

const schema = z.object({ learningRate: z.number().positive().default(0.1), epochs: z.int().default(3) });

test("absent fields get their defaults", () => {
  expect(parseConfig(schema, { epochs: 5 }, "fit")).toEqual({ learningRate: 0.1, epochs: 5 });
  expect(parseConfig(schema, undefined, "fit")).toEqual({ learningRate: 0.1, epochs: 3 });
});

test("an unknown field is refused with the nearest known one", () => {
  const parse = () => parseConfig(schema, { learning_rate: 1 }, "fit");
  expect(parse).toThrow(UserError);
  expect(parse).toThrow('fit: unknown field "learning_rate", did you mean "learningRate"?');
  expect(() => parseConfig(schema, { zzzzzzz: 1 }, "fit")).toThrow(/"zzzzzzz"$/);
});

test("a wrong value is refused with its field, all faults at once", () => {
  expect(() => parseConfig(schema, { learningRate: -1, epochs: "x" }, "fit")).toThrow(
    /learningRate: .*epochs: /,
  );
  expect(() => parseConfig(schema, [], "fit")).toThrow(UserError);
});
