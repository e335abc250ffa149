import { grad, type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor, zeros } from "@outgrow/engine";
import { type Columns, compileRows, UserError } from "outgrow";

/** A classifier that can be differentiated: `[batch, d]` to logits `[batch, classes]`. */
export interface Classifier<Params, Traced> {
  params: Params;
  logits: (params: Traced, inputs: JaxArray) => JaxArray;
}

export interface AdversarialMargins {
  /** Whether a point is classified as its label. */
  correct: Uint8Array;
  /** Margin of logits (true minus best other) divided by the norm of its gradient: the distance, were it linear. 0 where wrong. */
  linearised: Float32Array;
  /** Distance to the boundary along the gradient, by bisection; NaN where none was found within 64 linearised distances, or wrong. */
  boundary: Float32Array;
  /** Means over the points that are classified correctly; null where there are none. */
  meanLinearised: number | null;
  meanBoundary: number | null;
  /** Correctly classified points along whose gradient no boundary was found. */
  withoutBoundary: number;
}

/**
 * How far points lie from a trained classifier's boundary: the linearised distance, and the true one along the same
 * direction. Both are in units of `inputs`, Euclidean.
 *
 * @param inputs `[n, d]`
 * @param labels `[n]`, from 0 to classes - 1
 */
export async function adversarialMargins<Params, Traced>(
  { params, logits }: Classifier<Params, Traced>,
  inputs: Tensor,
  labels: ArrayLike<number>,
  { classes = 2 }: { classes?: number } = {},
): Promise<AdversarialMargins> {
  const [count, size] = inputs.shape;
  if (labels.length !== count) throw new UserError(`${count} points, but ${labels.length} labels`);
  const target = new Float32Array(count * classes);
  for (let row = 0; row < count; row++) {
    if (!(Number.isInteger(labels[row]) && labels[row] >= 0 && labels[row] < classes)) {
      throw new UserError(`label ${row} is ${labels[row]}, expected a whole number from 0 to ${classes - 1}`);
    }
    target[row * classes + labels[row]] = 1;
  }
  const at = inputs.data as Float32Array;
  const bad = at.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new UserError(`point ${Math.floor(bad / size)} has ${at[bad]} at index ${bad % size}`);

  const margins = (traced: Traced, x: JaxArray, isTrue: JaxArray): JaxArray => {
    const values = logits(traced, x);
    const others = np.max(values.sub(isTrue.mul(1e30)), 1);
    return values.mul(isTrue).sum(1).sub(others);
  };
  const columns: Columns = { x: inputs, target: new Tensor(target, [count, classes]) };
  const atRest = { direction: zeros([count, size]), step: zeros([count, 1]) };
  const margin = await compileRows<Params, Traced>(
    "margins",
    (traced, { x, direction, step, target: isTrue }) =>
      margins(traced, x.sub(direction.mul(step)), isTrue).reshape([-1, 1]),
    params,
    { ...columns, ...atRest },
  );
  const slope = await compileRows<Params, Traced>(
    "margin gradients",
    (traced, batch) => grad((x: JaxArray) => margins(traced, x, batch.target).sum())(batch.x) as JaxArray,
    params,
    columns,
  );
  try {
    const first = (await margin(params, { ...columns, ...atRest })).data as Float32Array;
    const gradient = (await slope(params, columns)).data as Float32Array;
    const lengths = Float32Array.from({ length: count }, (_, row) => {
      let sum = 0;
      for (let k = row * size; k < (row + 1) * size; k++) sum += gradient[k] ** 2;
      return Math.sqrt(sum);
    });
    const direction = gradient.map((value, index) => {
      const length = lengths[Math.floor(index / size)];
      return length === 0 ? 0 : value / length;
    });
    const along = { ...columns, direction: new Tensor(direction, [count, size]) };
    const marginsAt = async (distances: Float32Array) =>
      (await margin(params, { ...along, step: new Tensor(distances, [count, 1]) })).data as Float32Array;
    const correct = Uint8Array.from(first, (value) => Number(value > 0));
    const linearised = first.map((value, row) => (correct[row] ? value / lengths[row] : 0));
    const boundary = await bisect(linearised, correct, marginsAt);
    const found = boundary.filter((value) => Number.isFinite(value));
    const right = linearised.filter((value, row) => correct[row] === 1 && Number.isFinite(value));
    return {
      correct,
      linearised,
      boundary,
      meanLinearised: meanOf(right),
      meanBoundary: meanOf(found),
      withoutBoundary: correct.reduce((sum, value) => sum + value, 0) - found.length,
    };
  } finally {
    await margin.dispose();
    await slope.dispose();
  }
}

async function bisect(
  linearised: Float32Array,
  correct: Uint8Array,
  marginsAt: (distances: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  const near = new Float32Array(linearised.length);
  const far = linearised.map((value, row) => (correct[row] && Number.isFinite(value) ? value : 0));
  const crossed = new Uint8Array(linearised.length);
  // From half the linearised distance on, twice as far each time, until the other side is reached.
  far.forEach((value, row) => {
    far[row] = value / 2;
  });
  for (let doubling = 0; doubling < 8; doubling++) {
    const values = await marginsAt(far);
    values.forEach((value, row) => {
      if (crossed[row] || far[row] === 0) return;
      if (value <= 0) crossed[row] = 1;
      else {
        near[row] = far[row];
        far[row] *= 2;
      }
    });
  }
  for (let round = 0; round < 16; round++) {
    const middle = near.map((value, row) => (value + far[row]) / 2);
    const values = await marginsAt(middle);
    values.forEach((value, row) => {
      if (!crossed[row]) return;
      if (value <= 0) far[row] = middle[row];
      else near[row] = middle[row];
    });
  }
  return near.map((value, row) => (crossed[row] ? (value + far[row]) / 2 : Number.NaN));
}

const meanOf = (values: Float32Array): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
