import { z } from "zod";
import { UserError } from "../errors.js";
import { createRandom, type Random } from "../random.js";
import { parseConfig } from "./config.js";
import { multiplyInto } from "./matrix.js";
import type { WorldKind } from "./world.js";

/*
 * The factor world of Outgrow's study of weak-to-strong generalisation (system w2sg, track A). It stands for
 * the NLP tasks of Burns et al. 2023: abilities (the latents) are hidden in the inputs behind two
 * nonlinear layers; pretraining on auxiliary targets, never on a task, brings out more of them the larger
 * the model is. The constants are the study's, not the paper's.
 */

const positive = z.number().positive();
const count = z.int().min(1).max(4096);

/** Knobs of the world. Matrices have standard deviation 1 / sqrt(rows), so that sizes can change alone. */
export const latentFeaturesSchema = z.object({
  /** Length of the latent z ~ N(0, I). */
  latentSize: count.default(10),
  /** Width of the two hidden layers of the rendering. */
  hiddenSize: count.default(64),
  /** Length of the input x. */
  inputSize: count.default(40),
  /** Frequency inside the sine. Larger: the latents are harder to read from the input. */
  sineFrequency: positive.default(0.5),
  /** Amplitude of the sine. Larger: the tanh after it saturates more. */
  sineScale: positive.default(3),
  /** Amplitude of the tanh. */
  tanhScale: positive.default(2),
  /** Standard deviation of the noise on each input. */
  inputNoise: z.number().min(0).default(0.05),
  /** Auxiliary regression targets for pretraining. */
  auxiliarySize: count.default(64),
  /** Gain inside the tanh of the auxiliary targets. */
  auxiliaryGain: positive.default(1.5),
  /** Standard deviation of the auxiliary targets' biases (variance 0.09). */
  auxiliaryBias: z.number().min(0).default(0.3),
});

export type LatentFeaturesConfig = z.output<typeof latentFeaturesSchema>;

/** A binary task of the world: y = [z u > 0], one half of all latents each. */
export interface LatentTask {
  /** The unit vector u [latentSize]. */
  direction: Float32Array;
  /** Classes 0 and 1 [count] of latents [count, latentSize]. */
  label(latents: Float32Array): Int32Array;
}

/** x = tanhScale tanh(sineScale sin(sineFrequency z A) Bm) Cm + noise. Sizes as in the configuration. */
export interface LatentFeaturesWorld {
  config: LatentFeaturesConfig;
  /** A [latentSize, hiddenSize], Bm [hiddenSize, hiddenSize], Cm [hiddenSize, inputSize]. */
  rendering: { A: Float32Array; Bm: Float32Array; Cm: Float32Array };
  /** u_t [latentSize, auxiliarySize], entries N(0, 1 / latentSize), and b_t [auxiliarySize]. */
  auxiliary: { directions: Float32Array; biases: Float32Array };
  /**
   * Draws examples: latents [count, latentSize] and inputs [count, inputSize]. The examples are drawn one
   * after the other, so that a smaller count gives the first of the same ones.
   */
  inputs(count: number, random: Random): { latents: Float32Array; inputs: Float32Array };
  /** tanh(auxiliaryGain (z u_t + b_t)) [count, auxiliarySize], in (-1, 1) up to rounding. */
  auxiliaryTargets(latents: Float32Array): Float32Array;
  /** A task with a random direction. */
  task(random: Random): LatentTask;
}

/** Rows worked on at a time: the intermediate layers then stay in the processor's cache. */
const blockRows = 64;

export const latentFeatures: WorldKind<typeof latentFeaturesSchema, LatentFeaturesWorld> = {
  name: "latent-features",
  summary: "vectors rendered from a hidden latent by a fixed two-layer network; tasks are half-spaces of it",
  schema: latentFeaturesSchema,
  generate,
  describe,
};

function generate(given: z.input<typeof latentFeaturesSchema>, random: Random): LatentFeaturesWorld {
  const config = parseConfig(latentFeaturesSchema, given, "world latent-features");
  const { latentSize, hiddenSize, inputSize, auxiliarySize } = config;
  const matrix = (name: string, rows: number, columns: number) =>
    random.stream(name).normals(rows * columns, 1 / Math.sqrt(rows));
  const rendering = {
    A: matrix("A", latentSize, hiddenSize),
    Bm: matrix("Bm", hiddenSize, hiddenSize),
    Cm: matrix("Cm", hiddenSize, inputSize),
  };
  const auxiliary = {
    directions: matrix("auxiliary directions", latentSize, auxiliarySize),
    biases: random.stream("auxiliary biases").normals(auxiliarySize, config.auxiliaryBias),
  };
  return {
    config,
    rendering,
    auxiliary,
    inputs: (count, random) => drawInputs(config, rendering, count, random),
    auxiliaryTargets: (latents) => auxiliaryTargets(config, auxiliary, latents),
    task: (random) => halfSpace(unitVector(latentSize, random)),
  };
}

function drawInputs(
  config: LatentFeaturesConfig,
  rendering: LatentFeaturesWorld["rendering"],
  count: number,
  random: Random,
) {
  if (!Number.isInteger(count) || count < 0) throw new UserError(`a count of inputs, not ${count}`);
  const { latentSize, hiddenSize, inputSize, sineFrequency, sineScale, tanhScale, inputNoise } = config;
  const latents = new Float32Array(count * latentSize);
  const inputs = new Float32Array(count * inputSize);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < latentSize; j++) latents[i * latentSize + j] = random.normal();
    for (let j = 0; j < inputSize; j++) inputs[i * inputSize + j] = inputNoise * random.normal();
  }

  const [A, Bm, Cm] = [rendering.A, rendering.Bm, rendering.Cm].map((matrix) => Float64Array.from(matrix));
  const first = new Float64Array(blockRows * hiddenSize);
  const second = new Float64Array(blockRows * hiddenSize);
  const rendered = new Float64Array(blockRows * inputSize);
  for (let start = 0; start < count; start += blockRows) {
    const rows = Math.min(blockRows, count - start);
    const z = Float64Array.from(latents.subarray(start * latentSize, (start + rows) * latentSize));
    multiplyInto(z, A, first, [rows, latentSize, hiddenSize]);
    for (let i = 0; i < rows * hiddenSize; i++) first[i] = sineScale * Math.sin(sineFrequency * first[i]);
    multiplyInto(first, Bm, second, [rows, hiddenSize, hiddenSize]);
    for (let i = 0; i < rows * hiddenSize; i++) second[i] = tanhScale * Math.tanh(second[i]);
    multiplyInto(second, Cm, rendered, [rows, hiddenSize, inputSize]);
    for (let i = 0; i < rows * inputSize; i++) inputs[start * inputSize + i] += rendered[i];
  }
  return { latents, inputs };
}

function auxiliaryTargets(
  { latentSize, auxiliarySize, auxiliaryGain }: LatentFeaturesConfig,
  { directions, biases }: LatentFeaturesWorld["auxiliary"],
  latents: Float32Array,
): Float32Array {
  const count = rowsOf(latents, latentSize);
  const directions64 = Float64Array.from(directions);
  const targets = new Float32Array(count * auxiliarySize);
  const block = new Float64Array(blockRows * auxiliarySize);
  for (let start = 0; start < count; start += blockRows) {
    const rows = Math.min(blockRows, count - start);
    const z = Float64Array.from(latents.subarray(start * latentSize, (start + rows) * latentSize));
    multiplyInto(z, directions64, block, [rows, latentSize, auxiliarySize]);
    for (let i = 0; i < rows * auxiliarySize; i++) {
      targets[start * auxiliarySize + i] = Math.tanh(auxiliaryGain * (block[i] + biases[i % auxiliarySize]));
    }
  }
  return targets;
}

function halfSpace(direction: Float32Array): LatentTask {
  const size = direction.length;
  return {
    direction,
    label: (latents) =>
      Int32Array.from({ length: rowsOf(latents, size) }, (_, i) => {
        let projection = 0;
        for (let j = 0; j < size; j++) projection += latents[i * size + j] * direction[j];
        return projection > 0 ? 1 : 0;
      }),
  };
}

function unitVector(size: number, random: Random): Float32Array {
  const vector = random.normals(size);
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

function rowsOf(latents: Float32Array, latentSize: number): number {
  const count = latents.length / latentSize;
  if (Number.isInteger(count)) return count;
  throw new UserError(`latents of ${latentSize} numbers each, but ${latents.length} numbers were given`);
}

function describe(world: LatentFeaturesWorld): string {
  const { latentSize, inputSize, inputNoise, auxiliarySize } = world.config;
  const random = createRandom("latent-features sample");
  const { latents, inputs } = world.inputs(4, random);
  const labels = world.task(random).label(latents);
  const few = (values: Float32Array) =>
    `${Array.from(values.subarray(0, 5), (value) => value.toFixed(2).padStart(5)).join(" ")}${values.length > 5 ? " …" : ""}`;
  const rows = Array.from(labels, (label, i) => {
    const z = few(latents.subarray(i * latentSize, (i + 1) * latentSize));
    const x = few(inputs.subarray(i * inputSize, (i + 1) * inputSize));
    return `  z ${z}   x ${x}   y ${label}`;
  });
  return [
    `latent-features: ${latentSize} hidden latents z seen as ${inputSize} inputs x, noise ${inputNoise}, ${auxiliarySize} auxiliary targets`,
    "Four examples of a random task, y = 1 where z lies on the positive side of a random plane:",
    ...rows,
  ].join("\n");
}
