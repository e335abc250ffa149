import { describe, expect, test } from "vitest";
import { trainBpe } from "../data/bpe.js";
import { combineDecoders } from "./combined-decoder.js";
import { mixLogProbs, shiftLogits } from "./logits-arithmetic.js";
import { createTableDecoder } from "./testing/table-decoder.js";

const table = (scale: number, capacity = 8, contextLength = 16) =>
  createTableDecoder(
    (tokens) => [0, 1, 2].map((v) => scale * ((tokens.length * 3 + tokens[tokens.length - 1] + v * v) % 5)),
    {
      vocabularySize: 3,
      capacity,
      contextLength,
    },
  );

describe("a combination of decoders", () => {
  test("gives at every step what the rule makes of the models' logits on the same tokens", async () => {
    const [one, two] = [table(1), table(-0.5)];
    const combined = combineDecoders(
      [
        { name: "one", decoder: one },
        { name: "two", decoder: two },
      ],
      ([a, b]) => shiftLogits(a, [{ expert: a, from: b, weight: 0.25 }]),
    );
    const [aloneOne, aloneTwo] = [table(1), table(-0.5)];
    const expected = (a: Float32Array, b: Float32Array) => a.map((x, i) => x + 0.25 * (x - b[i]));
    const prompts = [Int32Array.of(0, 1), Int32Array.of(2)];
    const added = await combined.add(prompts);
    const [a, b] = [await aloneOne.add(prompts), await aloneTwo.add(prompts)];
    expect(added.logits).toEqual(expected(a.logits, b.logits));
    const branch = combined.fork(added.rows[0]);
    const logits = await combined.step([branch, added.rows[1]], [2, 0]);
    expect(logits).toEqual(
      expected(await aloneOne.step(a.rows, [2, 0]), await aloneTwo.step(b.rows, [2, 0])),
    );
    expect([branch, ...added.rows].map((row) => combined.length(row))).toEqual([3, 2, 2]);
    combined.truncate(branch, 1);
    expect(combined.length(branch)).toBe(1);
    combined.remove(added.rows[0]);
    expect([one.rowsInUse, two.rowsInUse]).toEqual([2, 2]);
    await combined.dispose();
    expect([one.rowsInUse, two.rowsInUse]).toEqual([0, 0]);
  });

  test("has the smallest of the models' capacities and contexts", () => {
    const combined = combineDecoders(
      [
        { name: "a", decoder: table(1, 3, 20) },
        { name: "b", decoder: table(1, 5, 10) },
      ],
      ([a]) => a,
    );
    expect([combined.capacity, combined.contextLength]).toEqual([3, 10]);
  });

  test("where one model fails, the rows of all are as before", async () => {
    const [good, short] = [table(1, 8, 16), table(1, 2, 3)];
    const combined = combineDecoders(
      [
        { name: "good", decoder: good },
        { name: "short", decoder: short },
      ],
      ([a]) => a,
    );
    await expect(combined.add([Int32Array.of(0), Int32Array.of(0), Int32Array.of(0)])).rejects.toThrow(
      "2 rows are in use",
    );
    await expect(combined.add([new Int32Array(4)])).rejects.toThrow(
      "has 4 tokens, the shortest context of the models 3",
    );
    expect(good.rowsInUse).toBe(0);
    const { rows } = await combined.add([Int32Array.of(0, 1, 2), Int32Array.of(1)]);
    await expect(combined.step(rows, [1, 1])).rejects.toThrow("is full");
    expect(rows.map((row) => combined.length(row))).toEqual([3, 1]);
    expect(() => combined.fork(rows[0])).toThrow("2 rows are in use");
    expect(good.rowsInUse).toBe(2);
  });

  test("a logit that is no number names its model and place, and the step is undone", async () => {
    const bad = createTableDecoder((tokens) => [0, tokens.length > 2 ? Number.NaN : 1, -Infinity], {
      vocabularySize: 3,
    });
    const good = table(1);
    const combined = combineDecoders(
      [
        { name: "good", decoder: good },
        { name: "bad", decoder: bad },
      ],
      ([a, b]) =>
        mixLogProbs([
          { logits: a, weight: 0.5 },
          { logits: b, weight: 0.5 },
        ]),
    );
    const { rows } = await combined.add([Int32Array.of(0, 1)]);
    await expect(combined.step(rows, [1])).rejects.toThrow(
      'model "bad" after 3 tokens are not numbers: token 1 has NaN',
    );
    expect([combined.length(rows[0]), good.length(0), bad.length(0)]).toEqual([2, 2, 2]);
    await expect(combined.add([Int32Array.of(0, 1, 2)])).rejects.toThrow("NaN");
    expect([good.rowsInUse, bad.rowsInUse]).toEqual([1, 1]);
  });

  test("refuses no models, one decoder twice, and vocabularies that differ, by the first mismatch", () => {
    const rule = ([a]: Float32Array[]) => a;
    const tokenizer = (specialTokens: string[], size = 258) =>
      trainBpe(["abab"], { vocabularySize: size, specialTokens });
    const decoder = () => createTableDecoder(() => [], { vocabularySize: 257 });
    const model = (name: string, tokenizerOf?: ReturnType<typeof tokenizer>) => ({
      name,
      decoder: decoder(),
      tokenizer: tokenizerOf,
    });
    expect(() => combineDecoders([], rule)).toThrow("no models");
    const same = model("a");
    expect(() => combineDecoders([same, { ...same, name: "b" }], rule)).toThrow(
      'model "b" has the decoder of another',
    );
    expect(() => combineDecoders([same, { name: "b", decoder: table(1) }], rule)).toThrow(
      '"a" and "b" cannot be combined: 257 and 3 tokens',
    );
    expect(() =>
      combineDecoders([model("a", tokenizer(["<s>"])), model("b", tokenizer(["<t>"]))], rule),
    ).toThrow('token 0 is "<s>" in one and "<t>" in the other');
    expect(() =>
      combineDecoders([model("a", tokenizer(["<s>"])), model("b", tokenizer(["<s>"]))], rule),
    ).not.toThrow();
  });
});
