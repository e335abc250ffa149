import { expect, test } from "vitest";
import { createRandom, type Random } from "../random.js";
import { type Tokenizer, tokenizerFromJSON } from "./bpe.js";
import { renderChat } from "./chat-template.js";
import { tokenizerFiles } from "./testing/tokenizer-files.js";
import { parseTokenizerConfig } from "./tokenizer-folder.js";

const mutations = 2500;

const hostileValues: unknown[] = [
  ...[null, true, false, 0, -1, 0.5, 1e9, 2 ** 53, -0, "", "a", "Ġ", "\uD800", "constructor", "__proto__"],
  ...[
    "(a+)+$",
    "(?:)",
    "\\",
    "a b c",
    " ",
    "▁",
    "<0x41>",
    "x".repeat(2000),
    [],
    {},
    [[]],
    [null],
    { type: "Sequence" },
  ],
  ...[
    { type: "BPE" },
    { type: "ByteLevel" },
    { Regex: "(x+x+)+y" },
    { String: "" },
    JSON.parse('{"__proto__":1}'),
  ],
];

/** A copy with one to three places replaced, removed, swapped or put in twice. */
function mutated(json: unknown, random: Random): unknown {
  const copy = JSON.parse(JSON.stringify(json)) as Record<string, unknown>;
  for (let count = 1 + random.integer(3); count > 0; count--) {
    let parent = copy;
    // Walks down to a place that is not too often one of the many tokens.
    for (;;) {
      const keys = Object.keys(parent);
      const key = keys[random.integer(keys.length)];
      const value = parent[key];
      if (
        typeof value === "object" &&
        value !== null &&
        Object.keys(value).length > 0 &&
        random.uniform() < 0.8
      ) {
        parent = value as Record<string, unknown>;
        continue;
      }
      const other = keys[random.integer(keys.length)];
      // A copy, since a later change may be in it.
      const hostile = structuredClone(hostileValues[random.integer(hostileValues.length)]);
      const change = random.integer(5);
      if (change === 0) delete parent[key];
      else if (change === 1) [parent[key], parent[other]] = [parent[other], value];
      else if (change === 2 && !Array.isArray(parent)) parent[String(hostile).slice(0, 50)] = value;
      else if (change === 3 && Array.isArray(parent)) parent.push(value);
      else parent[key] = hostile;
      break;
    }
  }
  return JSON.parse(JSON.stringify(copy));
}

/** What `body` gives, or undefined where it refuses in the user's terms. */
function orRefusal<Result>(body: () => Result): Result | undefined {
  try {
    return body();
  } catch (error) {
    expect(error).toMatchObject({ name: "UserError" });
    return undefined;
  }
}

const text = "The cat's  12 <s>▁ <|im_end|>\u0000 日本 'ſ\n\n";

function use(tokenizer: Tokenizer): void {
  const ids = tokenizer.encode(text, { addSpecialTokens: true });
  expect(ids.every((id) => id >= 0 && id < tokenizer.vocabularySize)).toBe(true);
  expect(typeof tokenizer.decode(ids, { skipSpecialTokens: true })).toBe("string");
  expect(tokenizer.tokenBytes(tokenizer.vocabularySize - 1)).toBeInstanceOf(Uint8Array);
}

test("2,500 damaged tokenizer.json: refused, or whole enough to be used, each within seconds", () => {
  const random = createRandom("tokenizer.json");
  const files = Object.values(tokenizerFiles);
  let used = 0;
  for (let i = 0; i < mutations; i++) {
    const start = performance.now();
    const json = mutated(files[i % files.length], random);
    const tokenizer = orRefusal(() => tokenizerFromJSON(json));
    if (tokenizer !== undefined) {
      use(tokenizer);
      used++;
    }
    expect(performance.now() - start).toBeLessThan(5000);
  }
  // Else the mutations would be too coarse to get anywhere.
  expect(used).toBeGreaterThan(mutations / 10);
  expect(used).toBeLessThan(0.9 * mutations);
});

test("2,500 damaged tokenizer_config.json with templates", () => {
  const random = createRandom("tokenizer_config.json");
  const tokenizer = tokenizerFromJSON(tokenizerFiles.Qwen2);
  const config = {
    bos_token: null,
    eos_token: { content: "<|im_end|>", lstrip: false },
    pad_token: "<|endoftext|>",
    chat_template: [
      {
        name: "default",
        template: "{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}",
      },
      { name: "tool_use", template: "{% if tools is defined %}{{ tools | tojson }}{% endif %}" },
    ],
  };
  for (let i = 0; i < mutations; i++) {
    const read = orRefusal(() => parseTokenizerConfig(mutated(config, random), tokenizer));
    for (const template of Object.values(read?.chatTemplates ?? {})) {
      // Some characters of the template too are others.
      const at = random.integer(template.length + 1);
      const damaged = template.slice(0, at) + template.slice(at + random.integer(4));
      const source = { template: damaged, name: "of the test", bosToken: "", eosToken: "" };
      orRefusal(() => renderChat(source, [{ role: "user", content: "hi" }]));
    }
  }
});
