import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";

/** A data set for training: tensors with one row per example, by name. */
export type Columns = Readonly<Record<string, Tensor>>;
/** The rows of a batch inside a traced function. */
export type Batch = Readonly<Record<string, JaxArray>>;

/** The chosen rows of every column. */
export function selectRows(columns: Columns, rows: Int32Array): Columns {
  return Object.fromEntries(
    Object.entries(columns).map(([key, { data, shape }]) => {
      const size = shape.slice(1).reduce((product, length) => product * length, 1);
      const selected = new (data.constructor as new (length: number) => typeof data)(rows.length * size);
      rows.forEach((row, i) => {
        selected.set(data.subarray(row * size, (row + 1) * size), i * size);
      });
      return [key, new Tensor(selected, [rows.length, ...shape.slice(1)])];
    }),
  );
}
