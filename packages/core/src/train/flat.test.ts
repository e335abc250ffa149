import type { Array as JaxArray } from "@jax-js/jax";
import { compile, Tensor, zeros } from "@outgrow/engine";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { flatTree } from "./flat.js";

const floats = (...values: number[]) => new Tensor(Float32Array.from(values));
const leaf = fc
  .tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 }))
  .chain(([rows, columns]) =>
    fc
      .float32Array({ minLength: rows * columns, maxLength: rows * columns })
      .map((data) => new Tensor(data, [rows, columns])),
  );
const { tree: trees } = fc.letrec<{ tree: unknown; leaf: Tensor }>((tie) => ({
  leaf,
  tree: fc.oneof(
    { maxDepth: 3 },
    tie("leaf"),
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^[a-z]$/), tie("tree"), { maxKeys: 3, noNullPrototype: true }),
  ),
}));

describe("flatTree", () => {
  test("what is unflattened is what was flattened, bit for bit", () => {
    fc.assert(
      fc.property(trees, (tree) => {
        const flat = flatTree(tree);
        const vector = flat.flatten(tree);
        expect(vector.shape).toEqual([flat.size]);
        expect(flat.unflatten(vector)).toEqual(tree);
      }),
    );
  });

  test("leaves stand in the order of the example's, whatever the order of a tree's keys", () => {
    const flat = flatTree({ a: floats(0), b: [floats(0, 0), floats(0)] });
    expect([...flat.flatten({ b: [floats(2, 3), floats(4)], a: floats(1) }).data]).toEqual([1, 2, 3, 4]);
  });

  test("what is unflattened shares no memory with the vector", () => {
    const flat = flatTree({ a: floats(1, 2) });
    const vector = floats(1, 2);
    const { a } = flat.unflatten(vector);
    vector.data.fill(0);
    expect([...a.data]).toEqual([1, 2]);
  });

  test.each([
    ["int32", { a: new Tensor(Int32Array.of(1)) }],
    ["bool", [new Tensor(Uint8Array.of(1))]],
    ["a number", { a: 1 }],
    ["null", { a: null }],
  ])("a leaf that is %s is refused", (_, tree) => {
    expect(() => flatTree(tree)).toThrow("float32 tensors");
  });

  test.each([
    ["of another shape", { a: zeros([2, 1]), b: zeros([1]) }],
    ["of another type", { a: zeros([2], "int32"), b: zeros([1]) }],
    ["that is missing", { a: zeros([2]) }],
    ["too many", { a: zeros([2]), b: zeros([1]), c: zeros([1]) }],
    ["under another name", { a: zeros([2]), c: zeros([1]) }],
  ])("a tensor %s is refused", (_, tree) => {
    const flat = flatTree<object>({ a: zeros([2]), b: zeros([1]) });
    expect(() => flat.flatten(tree)).toThrow(TypeError);
  });

  test("a vector of another length is refused", () => {
    expect(() => flatTree({ a: zeros([2]) }).unflatten(zeros([1]))).toThrow(RangeError);
  });

  test("split and concatenate do the same in a program", async () => {
    const tree = { b: new Tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]), a: [floats(7), floats(8, 9)] };
    const flat = flatTree(tree);
    const vector = flat.flatten(tree);
    const program = await compile(
      (v: JaxArray) => {
        const parts = flat.split<{ b: JaxArray; a: JaxArray[] }>(v);
        return { parts, whole: flat.concatenate(parts) };
      },
      [vector],
    );
    const { parts, whole } = await program.run(vector);
    await program.dispose();
    expect(parts).toEqual(tree);
    expect(whole).toEqual(vector);
  });
});
