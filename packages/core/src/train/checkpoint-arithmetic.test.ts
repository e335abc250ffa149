import { namedLeaves, Tensor } from "@outgrow/engine";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import {
  addTaskVectors,
  extrapolateCheckpoint,
  interpolateCheckpoints,
  taskVector,
  weightedSum,
} from "./checkpoint-arithmetic.js";
import { tinyModel } from "./testing/tiny-model.js";

const [a, b] = [tinyModel({}, 1).params, tinyModel({}, 2).params];
const isTensor = (node: unknown): node is Tensor => node instanceof Tensor;
const named = (params: object) => namedLeaves(params as never, isTensor);
const numbers = (params: object) => named(params).flatMap(([, { data }]) => [...data]);
const near = (given: object, wanted: object, digits = 6) => {
  expect(named(given).map(([name]) => name)).toEqual(named(wanted).map(([name]) => name));
  const expected = numbers(wanted);
  for (const [i, x] of numbers(given).entries()) {
    if (Math.abs(x - expected[i]) > 10 ** -digits) expect(x).toBeCloseTo(expected[i], digits);
  }
};

describe("checkpoint arithmetic", () => {
  test("interpolation ends exactly at both checkpoints, and its middle is their mean", () => {
    expect(interpolateCheckpoints(a, b, 0)).toEqual(a);
    expect(interpolateCheckpoints(a, b, 1)).toEqual(b);
    const [left, right] = [numbers(a), numbers(b)];
    for (const [i, x] of numbers(interpolateCheckpoints(a, b, 0.5)).entries()) {
      expect(x).toBe(Math.fround((left[i] + right[i]) / 2));
    }
  });

  test("extrapolation is as far beyond the later as asked, and nowhere where both are equal", () => {
    const beyond = extrapolateCheckpoint(b, a, 0.3);
    near(interpolateCheckpoints(a, beyond, 1 / 1.3), b);
    near(extrapolateCheckpoint(a, a, 5), a);
    expect(extrapolateCheckpoint(b, a, 0)).toEqual(b);
  });

  test("a base and a task vector give the tuned model back, and taken off again the base", () => {
    const vector = taskVector(b, a);
    near(addTaskVectors(a, [{ vector, weight: 1 }]), b);
    near(addTaskVectors(b, [{ vector, weight: -1 }]), a);
    expect(addTaskVectors(a, [])).toEqual(a);
  });

  test("sums are linear", () => {
    fc.assert(
      fc.property(
        fc.double({ min: -3, max: 3, noNaN: true }),
        fc.double({ min: -3, max: 3, noNaN: true }),
        (x, y) => {
          const [p, q] = [
            { w: new Tensor(Float32Array.of(1, -2)) },
            { w: new Tensor(Float32Array.of(0.5, 4)) },
          ];
          const { w } = weightedSum({ params: p, weight: x }, { params: q, weight: y });
          expect([...w.data]).toEqual([x + 0.5 * y, -2 * x + 4 * y].map(Math.fround));
        },
      ),
    );
  });

  test("tensors are found by name, whatever the order; the inputs stay as they are", () => {
    const p = { x: new Tensor(Float32Array.of(1)), y: new Tensor(Float32Array.of(10)) };
    const q = { y: new Tensor(Float32Array.of(20)), x: new Tensor(Float32Array.of(3)) };
    const { x, y } = interpolateCheckpoints(p, q, 0.5);
    expect([x.item(), y.item()]).toEqual([2, 15]);
    expect(p.x.item()).toBe(1);
  });

  test("tensors of whole numbers are those of the first", () => {
    const of = (id: number) => ({ ids: new Tensor(Int32Array.of(id)), w: new Tensor(Float32Array.of(id)) });
    const result = extrapolateCheckpoint(of(2), of(1), 1);
    expect([result.ids.item(), result.w.item()]).toEqual([2, 3]);
  });

  test("what does not fit is refused with its names", () => {
    const wider = tinyModel({ width: 24 }).params;
    expect(() => interpolateCheckpoints(a, wider, 0.5)).toThrow(
      /differ in \d+ tensors: .*"tokens" is float32\[257,24\], expected float32\[257,16\].*; \.\.\./,
    );
    expect(() => taskVector(tinyModel({ tiedEmbeddings: false }).params, a)).toThrow(
      /"output.weight" is missing/,
    );
    expect(() => taskVector(a, tinyModel({ tiedEmbeddings: false }).params)).toThrow(
      /"output.weight" is not expected/,
    );
    expect(() => interpolateCheckpoints(a, b, 1.5)).toThrow("the share of the second checkpoint is 1.5");
    expect(() => extrapolateCheckpoint(a, b, -1)).toThrow(UserError);
    const huge = { w: new Tensor(Float32Array.of(3e38)) };
    expect(() => weightedSum({ params: huge, weight: 2 })).toThrow('has Infinity in the tensor "w"');
  });
});
