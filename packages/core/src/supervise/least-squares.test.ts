import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { applyLinearHead, fitLeastSquares } from "./least-squares.js";

const random = createRandom("least squares");
const [rows, columns] = [60, 4];
const features = random.normals(rows * columns);
const column = (values: ArrayLike<number>, width: number, at: number) =>
  Array.from({ length: values.length / width }, (_, i) => values[i * width + at]);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

describe("least squares", () => {
  test("find weights and bias of targets that are linear, of several outputs at once", () => {
    const head = { weights: Float64Array.of(1, 2, -3, 0.5, 0, 7, 4, -1), bias: Float64Array.of(5, -2) };
    const targets = applyLinearHead(head, features, [rows, columns]);
    const fitted = fitLeastSquares(features, [rows, columns], targets, { outputs: 2 });
    expect(fitted.rank).toBe(4);
    head.weights.forEach((value, i) => {
      expect(fitted.weights[i]).toBeCloseTo(value, 10);
    });
    head.bias.forEach((value, i) => {
      expect(fitted.bias[i]).toBeCloseTo(value, 10);
    });
  });

  test("leave residuals that are orthogonal to every column and sum to 0; with a ridge, to ridge times weights", () => {
    const targets = random.normals(rows);
    for (const ridge of [0, 3]) {
      const head = fitLeastSquares(features, [rows, columns], targets, { ridge });
      const residuals = Array.from(
        applyLinearHead(head, features, [rows, columns]),
        (p, i) => targets[i] - p,
      );
      expect(sum(residuals)).toBeCloseTo(0, 9);
      for (let j = 0; j < columns; j++) {
        const along = sum(column(features, columns, j).map((x, i) => x * residuals[i]));
        expect(along).toBeCloseTo(ridge * head.weights[j], 9);
      }
    }
  });

  test("without enough rows give the head of least norm, which lies in the span of the rows, and its rank", () => {
    const few = 3;
    const targets = [1, -2, 4];
    const own = features.slice(0, few * columns);
    const head = fitLeastSquares(own, [few, columns], targets);
    expect(head.rank).toBe(2);
    Array.from(applyLinearHead(head, own, [few, columns])).forEach((value, i) => {
      expect(value).toBeCloseTo(targets[i], 9);
    });
    const longer = fitLeastSquares(own, [few, columns], targets, { ridge: 1e-9 });
    head.weights.forEach((value, i) => {
      expect(longer.weights[i]).toBeCloseTo(value, 6);
    });
  });

  test("share the weight of a column that is there twice, and give none to a constant one", () => {
    const x = [1, 2, 3, 5, 8];
    const doubled = x.flatMap((value) => [value, value, 7]);
    const { weights, bias, rank } = fitLeastSquares(
      doubled,
      [5, 3],
      x.map((value) => 4 * value + 1),
    );
    expect(rank).toBe(1);
    expect(weights[0]).toBeCloseTo(2, 10);
    expect(weights[1]).toBeCloseTo(2, 10);
    expect(weights[2]).toBeCloseTo(0, 10);
    expect(bias[0]).toBeCloseTo(1, 9);
  });

  test("refuse what is not finite, with its row", () => {
    const damaged = features.slice();
    damaged[2 * columns + 1] = Number.NaN;
    expect(() => fitLeastSquares(damaged, [rows, columns], new Float64Array(rows))).toThrow(
      "row 2, column 1",
    );
    expect(() => fitLeastSquares([], [0, 4], [])).toThrow("at least one example");
    expect(() => fitLeastSquares(features, [rows, columns], [1])).toThrow("60 numbers, not 1");
    expect(() => fitLeastSquares(features, [rows, columns], new Float64Array(rows), { ridge: -1 })).toThrow(
      "ridge",
    );
  });
});
