import { z } from "zod";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import { multiplyInto } from "./matrix.js";

/*
 * Pairs of items as vectors, after the experiment of the system deception: items have a latent z ~ N(0, I), two objectives
 * are directions in it, and a model of size v sees v nonlinear features. As all judgements are signs of projections, the
 * accuracy of every annotator has a closed form.
 */

export const vectorsSchema = z.object({
  latentSize: z.int().min(2).max(1024).default(16),
  hiddenSize: z.int().min(1).max(4096).default(48),
  gain: z.number().positive().default(1.5),
  /** Cosine of the two objectives. Negative: they conflict. */
  cosine: z.number().min(-1).max(1).default(-0.3),
});
export type VectorsConfig = z.output<typeof vectorsSchema>;

export const objectives = ["harmless", "helpful"] as const;
export type PreferenceObjective = (typeof objectives)[number];

/** Latents of both items `[count, latentSize]`. */
export interface VectorPairs {
  first: Float32Array;
  second: Float32Array;
}

/** Somebody who judges pairs. With no option set the judgement is the truth. */
export interface VectorAnnotator {
  objective: PreferenceObjective;
  /** Cosine of the direction that is judged by with the objective's, -1 to 1. Default 1. */
  skill?: number;
  /** Annotators with the same text err in the same direction: a shared misconception. Default `annotator`. */
  errs?: string;
  /** Deviation of the noise on each judgement; the difference of two items along a direction has deviation sqrt(2). Default 0. */
  noise?: number;
  /** Probability that the label is turned round at the end. Default 0. */
  flip?: number;
}

export interface PreferenceVectors {
  /** Unit vectors `[latentSize]`. */
  directions: Record<PreferenceObjective, Float32Array>;
  /** Fresh pairs; a smaller count gives the first of the same ones. */
  pairs(count: number, random: Random): VectorPairs;
  /** `[count]`: 1 where the first item is better, else 0. */
  labels(pairs: VectorPairs, objective: PreferenceObjective): Int32Array;
  /**
   * What a model of some size sees: `tanh(gain base P)`, base = `tanh(gain z A B)`, and last 0 or 1 for the objective that
   * is asked for. The same size sees the same features.
   * @returns `[count, size + 1]`
   */
  features(latents: Float32Array, size: number, objective: PreferenceObjective): Float32Array;
  /** Probability that an annotator calls the first item better, `[count]`. */
  probabilities(pairs: VectorPairs, annotator: VectorAnnotator): Float64Array;
  /** `[count]`: labels drawn with these probabilities. */
  annotate(pairs: VectorPairs, annotator: VectorAnnotator, random: Random): Int32Array;
  /**
   * How often an annotator's labels agree with the truth of an objective (default: the annotator's own). Projections of a
   * difference on two unit vectors have the same sign with probability 1 - arccos(c) / pi (Sheppard 1899); noise of
   * deviation s shrinks c by sqrt(2 / (2 + s^2)).
   */
  accuracy(annotator: VectorAnnotator, objective?: PreferenceObjective): number;
  /** The most often that anyone who knows both items can foretell an annotator's label. */
  bayesAccuracy(annotator: VectorAnnotator): number;
}

export function makeVectors(config: VectorsConfig, random: Random): PreferenceVectors {
  const { latentSize, hiddenSize, gain, cosine } = config;
  const matrix = (name: string, rows: number, columns: number) =>
    Float64Array.from(random.stream(name).normals(rows * columns, 1 / Math.sqrt(rows)));
  const A = matrix("A", latentSize, hiddenSize);
  const B = matrix("B", hiddenSize, hiddenSize);
  const harmless = unit(random.stream("harmless").normals(latentSize));
  const directions = { harmless, helpful: turned(harmless, cosine, random.stream("helpful")) };

  const directionOf = ({ objective, skill = 1, errs = "annotator" }: VectorAnnotator) =>
    turned(directions[objective], skill, random.stream("errs", objective, errs));
  const countOf = (latents: Float32Array) => {
    const count = latents.length / latentSize;
    if (Number.isInteger(count)) return count;
    throw new UserError(`latents of ${latentSize} numbers each, but ${latents.length} numbers were given`);
  };
  /** How much better the first item is along a direction, `[count]`. */
  const differences = ({ first, second }: VectorPairs, direction: Float32Array) =>
    Float64Array.from({ length: countOf(first) }, (_, i) => {
      let sum = 0;
      for (let j = 0; j < latentSize; j++)
        sum += (first[i * latentSize + j] - second[i * latentSize + j]) * direction[j];
      return sum;
    });
  const probabilities: PreferenceVectors["probabilities"] = (pairs, annotator) => {
    refuse(annotator);
    const { noise = 0, flip = 0 } = annotator;
    return differences(pairs, directionOf(annotator)).map((difference) => {
      const first = noise === 0 ? Number(difference > 0) : normalCdf(difference / noise);
      return (1 - flip) * first + flip * (1 - first);
    });
  };

  return {
    directions,
    pairs(count, random) {
      if (!Number.isInteger(count) || count < 0) throw new UserError(`a count of pairs, not ${count}`);
      const [first, second] = [new Float32Array(count * latentSize), new Float32Array(count * latentSize)];
      for (let i = 0; i < count; i++)
        for (const items of [first, second])
          for (let j = 0; j < latentSize; j++) items[i * latentSize + j] = random.normal();
      return { first, second };
    },
    labels: (pairs, objective) =>
      Int32Array.from(differences(pairs, directions[objective]), (difference) => Number(difference > 0)),
    features(latents, size, objective) {
      if (!Number.isInteger(size) || size < 1) throw new UserError(`a number of features, not ${size}`);
      const count = countOf(latents);
      const P = matrix(`P ${size}`, hiddenSize, size);
      const times = (left: Float64Array, right: Float64Array, inner: number, columns: number) => {
        const out = new Float64Array(count * columns);
        multiplyInto(left, right, out, [count, inner, columns]);
        return out;
      };
      const hidden = times(
        times(Float64Array.from(latents), A, latentSize, hiddenSize),
        B,
        hiddenSize,
        hiddenSize,
      );
      const seen = times(
        hidden.map((value) => Math.tanh(gain * value)),
        P,
        hiddenSize,
        size,
      );
      const features = new Float32Array(count * (size + 1)).fill(objective === "helpful" ? 1 : 0);
      for (let i = 0; i < count; i++)
        for (let j = 0; j < size; j++) features[i * (size + 1) + j] = Math.tanh(gain * seen[i * size + j]);
      return features;
    },
    probabilities,
    annotate: (pairs, annotator, random) =>
      Int32Array.from(probabilities(pairs, annotator), (p) => Number(random.uniform() < p)),
    accuracy(annotator, objective = annotator.objective) {
      refuse(annotator);
      const { noise = 0, flip = 0 } = annotator;
      const own = directionOf(annotator);
      const alike = own.reduce((sum, value, j) => sum + value * directions[objective][j], 0);
      return flipped(sameSign(alike * shrink(noise)), flip);
    },
    bayesAccuracy(annotator) {
      refuse(annotator);
      const known = flipped(sameSign(shrink(annotator.noise ?? 0)), annotator.flip ?? 0);
      return Math.max(known, 1 - known);
    },
  };
}

const shrink = (noise: number) => Math.sqrt(2 / (2 + noise ** 2));
const sameSign = (cosine: number) => 1 - Math.acos(Math.max(-1, Math.min(1, cosine))) / Math.PI;
const flipped = (p: number, flip: number) => (1 - flip) * p + flip * (1 - p);

function refuse({ skill = 1, noise = 0, flip = 0 }: VectorAnnotator): void {
  if (!(skill >= -1 && skill <= 1)) throw new UserError(`skill is ${skill}, expected -1 to 1`);
  if (!(noise >= 0 && noise < Number.POSITIVE_INFINITY))
    throw new UserError(`noise is ${noise}, expected 0 or more`);
  if (!(flip >= 0 && flip <= 1)) throw new UserError(`flip is ${flip}, expected 0 to 1`);
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** A unit vector with a given cosine to another, in a random direction. */
function turned(from: Float32Array, cosine: number, random: Random): Float32Array {
  const other = random.normals(from.length);
  const along = other.reduce((sum, value, j) => sum + value * from[j], 0);
  const across = unit(other.map((value, j) => value - along * from[j]));
  const sine = Math.sqrt(1 - cosine ** 2);
  return from.map((value, j) => cosine * value + sine * across[j]);
}

/** Of the standard normal distribution, within 2e-7 (Numerical Recipes' erfc). */
export function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const t = 1 / (1 + 0.5 * z);
  const coefficients = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
    -0.82215223, 0.17087277,
  ];
  const polynomial = coefficients.reduceRight((sum, c) => sum * t + c, 0);
  const erfc = t * Math.exp(-z * z + polynomial);
  return x > 0 ? 1 - erfc / 2 : erfc / 2;
}
