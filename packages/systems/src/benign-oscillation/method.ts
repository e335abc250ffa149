import { type Random, UserError } from "outgrow";
import { basisOf, coordinates, dot } from "./span.js";

/** An input of several patches, each [size], and its class. */
export interface PatchPoint {
  patches: readonly ArrayLike<number>[];
  label: 1 | -1;
}

/**
 * The two-layer network of the paper: f(x) = F₊(x) − F₋(x), F_j(x) = 1/m Σ_r Σ_p max(⟨w_jr, x_p⟩, 0)². The second layer
 * is fixed.
 */
export interface PatchCnn {
  /** [2m][size]: first those of the class +1, then those of −1. */
  filters: readonly Float64Array[];
}

export interface TrainOptions {
  /** η, of the loss (f(x) − y)² of a point. */
  learningRate: number;
  /** Updates, each from one point, or from all. */
  steps: number;
  /** Gives the order of points, anew in each epoch, and the noise. */
  random: Random;
  /** `all`: gradient descent on the mean loss. Default `one`. */
  batch?: "one" | "all";
  /** Probability that a visit sees the wrong label. Default 0. */
  flips?: number;
  /** Standard deviation of normal noise on each number of the gradient. Default 0. */
  gradientNoise?: number;
  /** Points whose y·f(x) is recorded before training and after every so many steps. */
  probe?: { points: readonly PatchPoint[]; every: number };
  /** ‖u‖, which the window of bounded oscillation depends on. Default: the length of the longest patch. */
  strongNorm?: number;
}

/** What was seen at each visit of a point, before the update. [visits]. */
export interface Trace {
  /** Which of the points. */
  point: Int32Array;
  /** y·f(x) with the label that the visit saw. */
  margin: Float64Array;
}

export interface Trained {
  cnn: PatchCnn;
  trace: Trace;
  /** y·f(x) of the probe's points: [1 + steps / every][points]. */
  probed: Float64Array[];
  /** The step at which an output was not finite or beyond a million; training ended there. */
  divergedAt: number | null;
  warnings: string[];
}

/** |f(x)| from which a run counts as diverged. */
const DIVERGED = 1e6;
/** Largest κ at which oscillation is bounded and signs are kept: the card's √(27/4) − 1, rounded. */
const LARGEST_KAPPA = 1.6;

/** κ = 4η‖u‖²/m: the fixed point y·f(x) = 1 of a strong point loses stability at κ = 1. */
export const kappaOf = (learningRate: number, width: number, strongNorm = 1): number =>
  (4 * learningRate * strongNorm ** 2) / width;

/** The learning rate of a κ. */
export const rateOf = (kappa: number, width: number, strongNorm = 1): number =>
  (kappa * width) / (4 * strongNorm ** 2);

/** Filters drawn from N(0, σ₀² I): `width` of them for each class. */
export function drawCnn(size: number, width: number, deviation: number, random: Random): PatchCnn {
  return {
    filters: Array.from({ length: 2 * width }, () =>
      Float64Array.from({ length: size }, () => deviation * random.normal()),
    ),
  };
}

/** f(x). */
export function outputOf({ filters }: PatchCnn, { patches }: Pick<PatchPoint, "patches">): number {
  const width = filters.length / 2;
  let sum = 0;
  for (let r = 0; r < filters.length; r++) {
    const sign = r < width ? 1 : -1;
    for (const patch of patches) sum += sign * Math.max(dot(filters[r], patch), 0) ** 2;
  }
  return sum / width;
}

/** Share of points whose sign is right; an output of 0 counts as an error. null: there are no points. */
export function accuracyOf(cnn: PatchCnn, points: readonly PatchPoint[]): number | null {
  if (points.length === 0) return null;
  return points.filter((point) => point.label * outputOf(cnn, point) > 0).length / points.length;
}

/**
 * Stochastic gradient descent with a constant rate, one point a step, each once an epoch in random order. The network that
 * is given stays as it is. Gradients lie in the span of the patches, so that training is done in coordinates of that span,
 * which is exact.
 *
 * @throws UserError for rates and points that nothing can be learned with
 */
export function trainCnn(cnn: PatchCnn, points: readonly PatchPoint[], options: TrainOptions): Trained {
  const warnings = check(cnn, points, options);
  const { probe, learningRate, steps, gradientNoise = 0 } = options;
  const basis = basisOf([...points, ...(probe?.points ?? [])].flatMap(({ patches }) => patches));
  const inSpan = ({ patches, label }: PatchPoint): PatchPoint => ({
    patches: patches.map((patch) => coordinates(basis, patch)),
    label,
  });
  const start = { filters: cnn.filters.map((filter) => coordinates(basis, filter)) };
  const trained = descend(start, points.map(inSpan), {
    ...options,
    probe: probe && { ...probe, points: probe.points.map(inSpan) },
  });
  // Outside the span there is nothing but the noise on the gradients, whose sum is normal.
  const wandered = learningRate * gradientNoise * Math.sqrt(trained.divergedAt ?? steps);
  const random = options.random.stream("outside");
  const filters = cnn.filters.map((filter, r) => {
    const outside = filter.map(() => (wandered > 0 ? wandered * random.normal() : 0));
    const moved = filter.map((value, k) => value + outside[k]);
    basis.forEach((axis, a) => {
      const by = trained.cnn.filters[r][a] - start.filters[r][a] - dot(outside, axis);
      for (let k = 0; k < moved.length; k++) moved[k] += by * axis[k];
    });
    return moved;
  });
  return { ...trained, cnn: { filters }, warnings };
}

/** The same, in whatever coordinates the filters and patches have. */
export function descend(
  cnn: PatchCnn,
  points: readonly PatchPoint[],
  { learningRate, steps, random, batch = "one", flips = 0, gradientNoise = 0, probe }: TrainOptions,
): Omit<Trained, "warnings"> {
  const filters = cnn.filters.map((filter) => Float64Array.from(filter));
  const width = filters.length / 2;
  const perStep = batch === "one" ? 1 : points.length;
  const rate = learningRate / perStep;
  const [order, flipped, noise] = ["order", "flips", "gradient"].map((name) => random.stream(name));
  const trace: Trace = {
    point: new Int32Array(steps * perStep),
    margin: new Float64Array(steps * perStep),
  };
  const activations = points.map(({ patches }) => new Float64Array(filters.length * patches.length));
  const errors = new Float64Array(points.length);
  const measure = () =>
    Float64Array.from(probe?.points ?? [], (point) => point.label * outputOf({ filters }, point));
  const probed = probe ? [measure()] : [];
  let visit = 0;
  let epoch = order.permutation(points.length);

  /** max(⟨w_jr, x_p⟩, 0) of all filters and patches, and 2(f(x) − y). */
  const forward = (i: number): boolean => {
    const { patches, label } = points[i];
    const active = activations[i];
    let output = 0;
    for (let r = 0, at = 0; r < filters.length; r++) {
      const sign = r < width ? 1 : -1;
      for (let p = 0; p < patches.length; p++, at++) {
        let along = 0;
        for (let k = 0; k < filters[r].length; k++) along += filters[r][k] * patches[p][k];
        const value = Math.max(along, 0);
        active[at] = value;
        output += (sign * value * value) / width;
      }
    }
    const seen = flips > 0 && flipped.uniform() < flips ? -label : label;
    trace.point[visit] = i;
    trace.margin[visit++] = seen * output;
    errors[i] = 2 * (output - seen);
    return Math.abs(output) <= DIVERGED;
  };

  /** w_jr ← w_jr − η · 2(f(x) − y) · j/m · Σ_p 2 max(⟨w_jr, x_p⟩, 0) x_p. */
  const update = (i: number) => {
    const { patches } = points[i];
    const active = activations[i];
    for (let r = 0, at = 0; r < filters.length; r++) {
      const filter = filters[r];
      const scale = (rate * errors[i] * (r < width ? 2 : -2)) / width;
      for (let p = 0; p < patches.length; p++, at++) {
        const by = scale * active[at];
        if (by === 0) continue;
        const patch = patches[p];
        for (let k = 0; k < filter.length; k++) filter[k] -= by * patch[k];
      }
    }
  };

  for (let step = 0; step < steps; step++) {
    let bounded = true;
    if (batch === "one") {
      const place = step % points.length;
      if (place === 0 && step > 0) epoch = order.permutation(points.length);
      bounded = forward(epoch[place]);
      if (bounded) update(epoch[place]);
    } else {
      for (let i = 0; i < points.length; i++) bounded = forward(i) && bounded;
      if (bounded) for (let i = 0; i < points.length; i++) update(i);
    }
    if (!bounded) {
      const seen = { point: trace.point.slice(0, visit), margin: trace.margin.slice(0, visit) };
      return { cnn: { filters }, trace: seen, probed, divergedAt: step };
    }
    if (gradientNoise > 0) {
      for (const filter of filters) {
        for (let k = 0; k < filter.length; k++) filter[k] -= learningRate * gradientNoise * noise.normal();
      }
    }
    if (probe && (step + 1) % probe.every === 0) probed.push(measure());
  }
  return { cnn: { filters }, trace, probed, divergedAt: null };
}

function check(
  { filters }: PatchCnn,
  points: readonly PatchPoint[],
  { learningRate, steps, flips = 0, gradientNoise = 0, probe, strongNorm }: TrainOptions,
): string[] {
  if (!(learningRate > 0 && Number.isFinite(learningRate))) {
    throw new UserError(`the learning rate is ${learningRate}`, {
      hint: "It must be a positive number; rateOf gives the one of a κ.",
    });
  }
  if (!Number.isInteger(steps) || steps < 1) {
    throw new UserError(`the number of steps is ${steps}`, { hint: "It must be a whole number from 1 on." });
  }
  if (!(flips >= 0 && flips <= 1)) {
    throw new UserError(`flips is ${flips}`, { hint: "It is a probability, between 0 and 1." });
  }
  if (!(gradientNoise >= 0 && Number.isFinite(gradientNoise))) {
    throw new UserError(`gradientNoise is ${gradientNoise}`, {
      hint: "It is a standard deviation, 0 or above.",
    });
  }
  if (points.length === 0) {
    throw new UserError("there are no points to train on", { hint: "Give at least one." });
  }
  if (filters.length < 2 || filters.length % 2 === 1) {
    throw new UserError(`the network has ${filters.length} filters`, {
      hint: "It needs as many for the class +1 as for −1, at least one each.",
    });
  }
  const size = filters[0].length;
  for (const [what, all] of [
    ["point", points],
    ["point of the probe", probe?.points ?? []],
  ] as const) {
    for (const [i, { patches, label }] of all.entries()) {
      if (label !== 1 && label !== -1) {
        throw new UserError(`${what} ${i} has the label ${label}`, { hint: "Labels are 1 and -1." });
      }
      for (const [p, patch] of patches.entries()) {
        if (patch.length !== size || !Array.from(patch).every(Number.isFinite)) {
          throw new UserError(
            `patch ${p} of ${what} ${i} is not made of ${size} finite numbers, as the filters are`,
            { hint: "All patches must have the size of the filters." },
          );
        }
      }
    }
  }
  const lengths = points.flatMap(({ patches }) => patches.map((patch) => Math.sqrt(dot(patch, patch))));
  const kappa = kappaOf(
    learningRate,
    filters.length / 2,
    strongNorm ?? lengths.reduce((a, b) => Math.max(a, b), 0),
  );
  return kappa > LARGEST_KAPPA
    ? [
        `κ is ${kappa.toPrecision(3)}: outside the window of bounded oscillation, which ends at ${LARGEST_KAPPA}.`,
      ]
    : [];
}
