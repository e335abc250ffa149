import { type Random, UserError } from "outgrow";
import type { PatchPoint } from "./method.js";
import { dot } from "./span.js";

export interface WorldOptions {
  /** Numbers of a patch, d. */
  size: number;
  strongNorm: number;
  weakNorm: number;
  /** Deviation of each number of the noise, σ_p. */
  noise: number;
  /** Training points, and how many of them lack the strong feature. */
  train: number;
  weakTrain: number;
  /** Test points of each kind. */
  test: number;
  /**
   * `two patches`: strong points are (y·u, y·v), weak ones (ξ, y·v). `noise everywhere`: strong points have a third patch
   * ξ. `no weak feature`: in training, y·v is missing.
   */
  layout: Layout;
}
export const layouts = ["two patches", "noise everywhere", "no weak feature"] as const;
export type Layout = (typeof layouts)[number];

export interface World {
  strong: Float64Array;
  weak: Float64Array;
  train: PatchPoint[];
  testStrong: PatchPoint[];
  testWeak: PatchPoint[];
  /** Draws that were thrown away, and why. */
  messages: string[];
}

/** Points with a strong feature u, a weak one v and noise orthogonal to both (card's Data). */
export function drawWorld(options: WorldOptions, random: Random): World {
  const { size, strongNorm, weakNorm, noise, train, weakTrain, test, layout } = options;
  if (size < 3) {
    throw new UserError(`patches have ${size} numbers`, {
      hint: "At least 3: the strong feature, the weak one and noise need a direction each.",
    });
  }
  if (weakTrain > train) {
    throw new UserError(`${weakTrain} of ${train} training points should be weak`, {
      hint: "weakTrain counts those of the training points that lack the strong feature.",
    });
  }
  const [directions, points] = [random.stream("directions"), random.stream("points")];
  const strong = scaled(normal(size, directions), strongNorm);
  const weak = scaled(without(normal(size, directions), [strong]), weakNorm);
  const drawNoise = () =>
    without(normal(size, points), [strong, weak]).map((value) => value * noise) as Float64Array;
  const point = (label: 1 | -1, isWeak: boolean, isTest = false): PatchPoint => {
    const signed = (feature: Float64Array) => feature.map((value) => value * label);
    return {
      label,
      patches: [
        ...(isWeak ? [] : [signed(strong)]),
        ...(isWeak || layout === "noise everywhere" ? [drawNoise()] : []),
        ...(layout === "no weak feature" && !isTest ? [] : [signed(weak)]),
      ],
    };
  };
  const messages: string[] = [];
  let labels: (1 | -1)[];
  for (;;) {
    labels = Array.from({ length: train }, () => (points.uniform() < 0.5 ? 1 : -1));
    if (train === 1 || new Set(labels).size === 2) break;
    messages.push(`All ${train} training labels were ${labels[0]}: drawn again.`);
  }
  const drawTest = (isWeak: boolean) =>
    Array.from({ length: test }, () => point(points.uniform() < 0.5 ? 1 : -1, isWeak, true));
  return {
    strong,
    weak,
    train: labels.map((label, i) => point(label, i < weakTrain)),
    testStrong: drawTest(false),
    testWeak: drawTest(true),
    messages,
  };
}

const normal = (size: number, random: Random): Float64Array =>
  Float64Array.from({ length: size }, () => random.normal());

const scaled = (vector: Float64Array, norm: number): Float64Array => {
  const factor = norm / Math.sqrt(dot(vector, vector));
  return vector.map((value) => value * factor);
};

/** The part of a vector that is orthogonal to vectors which are so to each other. */
function without(vector: Float64Array, others: readonly Float64Array[]): Float64Array {
  const rest = Float64Array.from(vector);
  for (const other of [...others, ...others]) {
    const share = dot(rest, other) / dot(other, other);
    for (let k = 0; k < rest.length; k++) rest[k] -= share * other[k];
  }
  return rest;
}
