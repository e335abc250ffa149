import { Tensor } from "@outgrow/engine";
import type { Random } from "outgrow";
import { z } from "zod";
import { twoDirections } from "./directions.js";
import type { Pairs } from "./method.js";

/** Replies with a latent that decides how harmless and how helpful they are, seen through projections of many sizes. */
export const pairWorldSchema = z.strictObject({
  latentSize: z.int().min(2).max(512).default(16),
  /** Width of the representation that models of all sizes see parts of. */
  baseSize: z.int().min(1).max(4096).default(48),
  /** Cosine of the directions of harmlessness and helpfulness. */
  correlation: z.number().min(-1).max(1).default(-0.3),
});
export type PairWorldConfig = z.output<typeof pairWorldSchema>;

export type Objective = "harmlessness" | "helpfulness";

/** Pairs before any model sees them. */
export interface DrawnPairs {
  objective: Objective;
  /** `[pairs, latentSize]` each. */
  first: Float32Array;
  second: Float32Array;
  /** 1 where the first reply is the better one: `[pairs]`. */
  truth: Float32Array;
}

export class PairWorld {
  private readonly A: Float32Array;
  private readonly B: Float32Array;
  private readonly directions: Record<Objective, Float32Array>;

  constructor(
    readonly config: PairWorldConfig,
    private readonly random: Random,
  ) {
    const { latentSize, baseSize, correlation } = config;
    this.A = random.stream("A").normals(latentSize * baseSize, 1 / Math.sqrt(latentSize));
    this.B = random.stream("B").normals(baseSize * baseSize, 1 / Math.sqrt(baseSize));
    const [harmlessness, helpfulness] = twoDirections(latentSize, correlation, random);
    this.directions = { harmlessness, helpfulness };
  }

  /** Pairs of fresh replies; the label is the sign of their difference along the objective's direction. */
  draw(objective: Objective, count: number, random: Random): DrawnPairs {
    const { latentSize } = this.config;
    const first = random.stream("first").normals(count * latentSize);
    const second = random.stream("second").normals(count * latentSize);
    const direction = this.directions[objective];
    const truth = Float32Array.from({ length: count }, (_, i) => {
      const difference = direction.reduce(
        (sum, d, k) => sum + d * (first[i * latentSize + k] - second[i * latentSize + k]),
        0,
      );
      return difference >= 0 ? 1 : 0;
    });
    return { objective, first, second, truth };
  }

  /** What a model of this size sees: tanh(1.5 base P), and a flag for the kind of prompt. */
  view({ objective, first, second }: DrawnPairs, size: number): Pairs {
    const { baseSize } = this.config;
    const P = this.random.stream("view", size).normals(baseSize * size, 1 / Math.sqrt(baseSize));
    const flag = objective === "helpfulness" ? 1 : 0;
    const see = (latents: Float32Array) => {
      const count = latents.length / this.config.latentSize;
      const base = layer(
        layer(latents, this.A, baseSize, (x) => x),
        this.B,
        baseSize,
        (x) => Math.tanh(1.5 * x),
      );
      const seen = layer(base, P, size, (x) => Math.tanh(1.5 * x));
      const features = new Float32Array(count * (size + 1));
      for (let i = 0; i < count; i++) {
        features.set(seen.subarray(i * size, (i + 1) * size), i * (size + 1));
        features[i * (size + 1) + size] = flag;
      }
      return new Tensor(features, [count, size + 1]);
    };
    return { first: see(first), second: see(second) };
  }
}

/** `f(x W)` with x `[rows, inner]`, W `[inner, columns]`. */
function layer(
  x: Float32Array,
  W: Float32Array,
  columns: number,
  f: (value: number) => number,
): Float32Array {
  const inner = W.length / columns;
  const rows = x.length / inner;
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = out.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < inner; k++) {
      const value = x[i * inner + k];
      for (let j = 0; j < columns; j++) row[j] += value * W[k * columns + j];
    }
    for (let j = 0; j < columns; j++) row[j] = f(row[j]);
  }
  return out;
}
