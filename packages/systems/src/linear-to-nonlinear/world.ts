import { createRandom, type Random, UserError } from "outgrow";
import { z } from "zod";
import type { Patches } from "./patches.js";

export const sampleTypes = ["easy", "hard", "both"] as const;
export type SampleType = (typeof sampleTypes)[number];

const share = z.number().min(0).max(1);

export const sharesSchema = z
  .strictObject({ easy: share, hard: share, both: share })
  .refine(({ easy, hard, both }) => Math.abs(easy + hard + both - 1) <= 1e-9, "shares must add up to 1");

export const patchWorldFields = {
  /** Values of a patch. Noise needs a direction beside the four signals. */
  size: z.int().min(5, "a patch needs at least 5 values: four signals and noise"),
  /** Shares of samples that have only the easy signal, only the hard one, or both. */
  shares: sharesSchema.default({ easy: 0.4, hard: 0.3, both: 0.3 }),
  /** Norms of the signals. */
  strengths: z
    .strictObject({ easy: z.number().positive(), hard: z.number().positive() })
    .default({ easy: 1, hard: 1 }),
};
const worldSchema = z.strictObject({ ...patchWorldFields, noise: z.number().min(0) });

export interface PatchWorldConfig extends z.input<typeof worldSchema> {
  /**
   * Easy signals of classes 1 and -1, then the hard ones: four rows of `size` values. Default: along the first four axes, with the
   * norms of `strengths`; noise and the networks' starts look the same in every direction, so that no other choice is another world.
   */
  signals?: readonly ArrayLike<number>[];
  /** Makes the given signals orthogonal, the first kept as it is (Gram and Schmidt), instead of refusing. */
  orthogonalise?: boolean;
}

export interface PatchSamples extends Patches {
  /** True classes, 1 and -1: `[samples]`. */
  truth: Int8Array;
  types: SampleType[];
  /** 1 or -1: how the hard signal is turned, 0 where there is none: `[samples]`. */
  turns: Int8Array;
}

/** Rows of `values` that are signals: easy 1, easy -1, then the hard signals of 1 and of -1, each turned by 1 and by -1. */
export const SIGNAL_ROWS = 6;

/**
 * Data with an easy and a hard signal of the class (Oh, Song, Yun 2025, section 2). A sample has three patches in random order. The
 * easy signal is the vector mu_y; the hard one is nu_y, turned by a random sign, which no linear model can read; the rest is noise
 * N(0, noise^2 I) orthogonal to all signals.
 */
export class PatchWorld {
  readonly config: z.output<typeof worldSchema>;
  /** mu of 1 and of -1, nu of 1 and of -1: `[4, size]`. */
  readonly signals: Float32Array;

  /** @throws UserError for shares that do not add up to 1, fewer than 5 values, signals that are not orthogonal */
  constructor(
    { signals, orthogonalise = false, ...config }: PatchWorldConfig,
    private readonly random: Random = createRandom(0),
  ) {
    const parsed = worldSchema.safeParse(config);
    if (!parsed.success) {
      throw new UserError(
        parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "),
      );
    }
    this.config = parsed.data;
    const { size, strengths } = this.config;
    const given =
      signals?.map((signal) => Float64Array.from(signal)) ??
      [strengths.easy, strengths.easy, strengths.hard, strengths.hard].map((norm, axis) =>
        Float64Array.from({ length: size }, (_, j) => (j === axis ? norm : 0)),
      );
    this.signals = new Float32Array(4 * size);
    orthogonal(given, size, orthogonalise).forEach((signal, k) => {
      this.signals.set(signal, k * size);
    });
  }

  /** The same samples for the same name; samples of worlds that differ in nothing but noise differ in nothing but its scale. */
  sample(samples: number, name: string): PatchSamples {
    if (!(samples >= 1)) throw new UserError(`there must be at least 1 sample; given: ${samples}`);
    const { size, shares, noise } = this.config;
    const random = this.random.stream("samples", name);
    const truth = new Int8Array(samples);
    const turns = new Int8Array(samples);
    const types: SampleType[] = [];
    const index = new Int32Array(3 * samples);
    let rows = SIGNAL_ROWS;
    for (let i = 0; i < samples; i++) {
      truth[i] = random.uniform() < 0.5 ? 1 : -1;
      const turn = random.uniform() < 0.5 ? 1 : -1;
      const at = random.uniform();
      const type = at < shares.both ? "both" : at < shares.both + shares.hard ? "hard" : "easy";
      types.push(type);
      const places: number[] = [];
      if (type !== "hard") places.push(truth[i] > 0 ? 0 : 1);
      if (type !== "easy") {
        turns[i] = turn;
        places.push(2 + (truth[i] > 0 ? 0 : 2) + (turn > 0 ? 0 : 1));
      }
      while (places.length < 3) places.push(rows++);
      random.permutation(3).forEach((place, k) => {
        index[3 * i + place] = places[k];
      });
    }
    const values = new Float32Array(rows * size);
    this.signals.forEach((value, k) => {
      const [signal, j] = [Math.floor(k / size), k % size];
      if (signal < 2) values[signal * size + j] = value;
      else {
        values[2 * (signal - 1) * size + j] = value;
        values[(2 * (signal - 1) + 1) * size + j] = -value;
      }
    });
    const draws = random.stream("noise");
    for (let k = SIGNAL_ROWS * size; k < values.length; k++) values[k] = noise * draws.normal();
    this.projectNoise(values);
    return { values, index, samples, perSample: 3, size, truth, types, turns };
  }

  /** Takes the signals out of the noise. */
  private projectNoise(values: Float32Array) {
    const { size } = this.config;
    for (let s = 0; s < 4; s++) {
      const signal = this.signals.subarray(s * size, (s + 1) * size);
      const used = [...signal.keys()].filter((j) => signal[j] !== 0);
      const squared = used.reduce((sum, j) => sum + signal[j] ** 2, 0);
      for (let row = SIGNAL_ROWS * size; row < values.length; row += size) {
        let product = 0;
        for (const j of used) product += signal[j] * values[row + j];
        for (const j of used) values[row + j] -= (product / squared) * signal[j];
      }
    }
  }
}

/** The first samples. */
export function firstSamples(all: PatchSamples, samples: number): PatchSamples {
  const { values, index, truth, types, turns, perSample, size } = all;
  const kept = index.slice(0, samples * perSample);
  const rows = kept.reduce((largest, row) => Math.max(largest, row + 1), SIGNAL_ROWS);
  return {
    values: values.slice(0, rows * size),
    index: kept,
    samples,
    perSample,
    size,
    truth: truth.slice(0, samples),
    types: types.slice(0, samples),
    turns: turns.slice(0, samples),
  };
}

/** The same samples with more or less noise. */
export function withNoiseTimes<Samples extends Patches>(samples: Samples, factor: number): Samples {
  const values = samples.values.slice();
  for (let k = SIGNAL_ROWS * samples.size; k < values.length; k++) values[k] *= factor;
  return { ...samples, values };
}

/** `n p_both^2 |nu|^4 / (noise^4 size)`: what decides between benign and harmful overfitting (theorem 3.4). */
export const kappaOf = (samples: number, both: number, hard: number, noise: number, size: number): number =>
  (samples * both ** 2 * hard ** 4) / (noise ** 4 * size);

function orthogonal(given: readonly Float64Array[], size: number, change: boolean): Float64Array[] {
  if (given.length !== 4 || given.some((signal) => signal.length !== size)) {
    throw new UserError(
      `there must be four signals of ${size} values; given: ${given.map(({ length }) => length).join(", ")}`,
    );
  }
  const kept: Float64Array[] = [];
  for (const [k, signal] of given.entries()) {
    const own = signal.slice();
    for (const [other, vector] of kept.entries()) {
      const cosine = dot(vector, own) / Math.sqrt(dot(vector, vector) * dot(signal, signal));
      if (Math.abs(cosine) > 1e-6 && !change) {
        throw new UserError(
          `signals ${other + 1} and ${k + 1} are not orthogonal: their cosine is ${cosine.toPrecision(3)}`,
          { hint: "Give orthogonal signals, or set orthogonalise." },
        );
      }
      const share = dot(vector, own) / dot(vector, vector);
      for (let j = 0; j < size; j++) own[j] -= share * vector[j];
    }
    if (!(dot(own, own) > 1e-12 * dot(signal, signal))) {
      throw new UserError(`signal ${k + 1} is zero, not finite, or made of the signals before it`);
    }
    kept.push(own);
  }
  return kept;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j] * b[j];
  return sum;
}
