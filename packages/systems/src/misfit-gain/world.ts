import { type Random, UserError } from "outgrow";

/** A layer before its ReLU: `x weights + bias`. */
export interface Layer {
  /** `[inputs, outputs]` */
  weights: Float64Array;
  /** `[outputs]` */
  bias: Float64Array;
}

/** A network whose last layer, after its ReLU, is what heads see. */
export type Representation = readonly Layer[];

/** Layers of these sizes with weights ~ N(0, 2 / inputs) and no bias. */
export function randomRepresentation(sizes: readonly number[], random: Random): Representation {
  return sizes.slice(1).map((outputs, i) => ({
    weights: Float64Array.from(random.stream(i).normals(sizes[i] * outputs, Math.sqrt(2 / sizes[i]))),
    bias: new Float64Array(outputs),
  }));
}

/** N(0, deviation^2) added to every weight. */
export function perturbed(layers: Representation, deviation: number, random: Random): Representation {
  return layers.map(({ weights, bias }, i) => {
    const noise = random.stream(i).normals(weights.length, deviation);
    return { weights: weights.map((value, j) => value + noise[j]), bias };
  });
}

/** `[rows, size of the last layer]` of inputs `[rows, size of the first]`. */
export function representationOf(layers: Representation, inputs: Float64Array): Float64Array {
  return layers.reduce((x, { weights, bias }) => {
    const outputs = bias.length;
    const size = weights.length / outputs;
    const rows = x.length / size;
    const result = new Float64Array(rows * outputs);
    for (let row = 0; row < rows; row++) {
      const out = result.subarray(row * outputs, (row + 1) * outputs);
      out.set(bias);
      for (let i = 0; i < size; i++) {
        const value = x[row * size + i];
        if (value === 0) continue;
        for (let j = 0; j < outputs; j++) out[j] += value * weights[i * outputs + j];
      }
      for (let j = 0; j < outputs; j++) out[j] = Math.max(0, out[j]);
    }
    return result;
  }, inputs);
}

/** Inputs ~ N(0, I), and tasks that are linear in the true representation, with coefficients ~ N(0, 1). */
export class RepresentationWorld {
  readonly truth: Representation;

  constructor(
    readonly sizes: readonly number[],
    readonly random: Random,
  ) {
    if (sizes.length < 2) throw new UserError("a representation needs the sizes of inputs and of a layer");
    this.truth = randomRepresentation(sizes, random.stream("representation"));
  }

  inputs(rows: number, name: string): Float64Array {
    return Float64Array.from(this.random.stream("inputs", name).normals(rows * this.sizes[0]));
  }

  /** Targets of tasks, each with mean 0 and variance 1 over many inputs: `[rows, tasks]` of inputs `[rows, size]`. */
  targets(tasks: number, name: string): (inputs: Float64Array) => Float64Array {
    const width = this.sizes[this.sizes.length - 1];
    const coefficients = Float64Array.from(this.random.stream("tasks", name).normals(width * tasks));
    const raw = (inputs: Float64Array) => {
      const features = representationOf(this.truth, inputs);
      const rows = features.length / width;
      const values = new Float64Array(rows * tasks);
      for (let row = 0; row < rows; row++) {
        for (let i = 0; i < width; i++) {
          for (let t = 0; t < tasks; t++) {
            values[row * tasks + t] += features[row * width + i] * coefficients[i * tasks + t];
          }
        }
      }
      return values;
    };
    const samples = raw(this.inputs(SCALE_SAMPLE, "scale"));
    const scales = Array.from({ length: tasks }, (_, t) => {
      const sample = columnOf(samples, tasks, t);
      return { mean: mean(sample), deviation: Math.sqrt(varianceOf(sample)) };
    });
    const constant = scales.findIndex(({ deviation }) => !(deviation > 0));
    if (constant >= 0) {
      throw new UserError(
        `the target of task ${constant} is constant, so no share of its variance is defined`,
        {
          hint: "All units of the true representation may be dead: use wider layers, or another seed.",
          exitCode: 1,
        },
      );
    }
    return (inputs) =>
      raw(inputs).map((value, i) => (value - scales[i % tasks].mean) / scales[i % tasks].deviation);
  }
}

/** Inputs that give a task its mean and variance. */
const SCALE_SAMPLE = 4000;

export const columnOf = (values: ArrayLike<number>, columns: number, column: number): Float64Array => {
  const own = new Float64Array(values.length / columns);
  for (let row = 0; row < own.length; row++) own[row] = values[row * columns + column];
  return own;
};

export const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
};

export const varianceOf = (values: Float64Array): number => {
  const centre = mean(values);
  return mean(values.map((value) => (value - centre) ** 2));
};
