import { expect, test } from "vitest";
import { createRandom } from "../random.js";
import { alongComponents, principalComponents } from "./principal-components.js";

const random = createRandom("principal components");
const [rows, columns] = [200, 5];
const deviations = [3, 0.1, 2, 0.5, 1];
const values = random
  .normals(rows * columns)
  .map((value, i) => value * deviations[i % columns] + (i % columns));
const dense = { shape: [rows, columns] as [number, number], values };

test("are orthonormal, and features along them have their variances and no covariance", () => {
  const found = principalComponents(dense, columns);
  const along = alongComponents(found, dense).values;
  for (let a = 0; a < columns; a++) {
    for (let b = 0; b < columns; b++) {
      let [inner, covariance] = [0, 0];
      for (let i = 0; i < columns; i++) {
        inner += found.components[i * columns + a] * found.components[i * columns + b];
      }
      for (let i = 0; i < rows; i++) {
        covariance += (along[i * columns + a] * along[i * columns + b]) / rows;
      }
      expect(inner).toBeCloseTo(Number(a === b), 10);
      expect(covariance).toBeCloseTo(a === b ? found.variances[a] : 0, 5);
    }
  }
  expect([...found.variances]).toEqual([...found.variances].sort((a, b) => b - a));
});

test("the first ones are where features vary most, with a positive largest entry", () => {
  const { components } = principalComponents(dense, 2);
  expect(components[0 * 2 + 0]).toBeGreaterThan(0.95);
  expect(components[2 * 2 + 1]).toBeGreaterThan(0.95);
  const [one, all] = [
    alongComponents(principalComponents(dense, 4), dense, 1),
    principalComponents(dense, 1),
  ];
  expect([...one.values]).toEqual([...alongComponents(all, dense).values]);
});

test("of sparse rows are those of the same dense rows", () => {
  const kept = values.map((value) => (Math.abs(value) > 1 ? value : 0));
  const offsets = new Int32Array(rows + 1);
  const filled: { column: number; value: number }[] = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = kept[row * columns + column];
      if (value !== 0) filled.push({ column, value });
    }
    offsets[row + 1] = filled.length;
  }
  const sparse = {
    shape: dense.shape,
    values: Float32Array.from(filled, ({ value }) => value),
    sparse: { offsets, columns: Int32Array.from(filled, ({ column }) => column) },
  };
  const full = { shape: dense.shape, values: kept };
  const found = principalComponents(sparse, 3);
  expect(found).toEqual(principalComponents(full, 3));
  expect(alongComponents(found, sparse)).toEqual(alongComponents(found, full));
});

test("refuse what has none", () => {
  expect(() => principalComponents({ shape: [1, 2], values: Float32Array.of(1, 2) }, 1)).toThrow(
    "at least 2 examples",
  );
  expect(() => principalComponents(dense, 6)).toThrow("6 principal components of 5 columns");
  const broken = { ...dense, values: values.with(7, Number.NaN) };
  expect(() => principalComponents(broken, 1)).toThrow("row 1, column 2 is NaN");
  expect(() =>
    alongComponents(principalComponents(dense, 1), { shape: [1, 2], values: Float32Array.of(1, 2) }),
  ).toThrow("the components are of 5 columns");
});
