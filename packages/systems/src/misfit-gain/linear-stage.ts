import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyLinearHead, createRandom, defineStage, fitLeastSquares, misfitGain } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import {
  columnOf,
  mean,
  perturbed,
  type Representation,
  RepresentationWorld,
  representationOf,
  varianceOf,
} from "./world.js";

export const worldFields = {
  seed: z.int().min(0).default(0),
  /** Of inputs and layers. */
  layers: z.array(count).min(2).default([8, 16, 16, 16, 16, 16]),
  sizes: z
    .strictObject({
      supervision: count.default(2000),
      transfer: count.default(2000),
      test: z.int().min(10).default(5000),
    })
    .prefault({}),
};

/** What is measured of a student of one task. Errors are shares of the target's variance. */
export interface GainMeasures {
  weakError: number;
  studentError: number;
  /** Of a head of the student's representation that learned the truth of the same examples. */
  ceilingError: number;
  misfit: number;
  gain: number;
  /** `studentError - (weakError - misfit)`, and its standard error on the test set. */
  violation: number;
  violationError: number;
}

/** A world as the stages see it. */
export function worldOf({ seed, layers, sizes }: WorldConfig) {
  const random = createRandom(seed).stream("misfit-gain");
  const world = new RepresentationWorld(layers, random.stream("world"));
  const inputs = {
    supervision: world.inputs(sizes.supervision, "supervision"),
    transfer: world.inputs(sizes.transfer, "transfer"),
    test: world.inputs(sizes.test, "test"),
  };
  const width = layers[layers.length - 1];
  const see = (representation: Representation, part: keyof typeof inputs) =>
    representationOf(representation, inputs[part]);
  const noisy = (deviation: number, name: string) =>
    deviation === 0 ? world.truth : perturbed(world.truth, deviation, random.stream(name, deviation));
  return { random, world, inputs, width, see, noisy };
}
type WorldConfig = {
  seed: number;
  layers: number[];
  sizes: Record<"supervision" | "transfer" | "test", number>;
};

/** `[rows, tasks]` that a head fitted to `[rows, columns]` says of others. */
export function taught(
  seen: Float64Array,
  targets: Float64Array,
  others: readonly Float64Array[],
  { columns, outputs, ridge = 0 }: { columns: number; outputs: number; ridge?: number },
): Float64Array[] {
  const head = fitLeastSquares(seen, [seen.length / columns, columns], targets, { outputs, ridge });
  return others.map((features) => applyLinearHead(head, features, [features.length / columns, columns]));
}

/** One measure for each task, of outputs `[rows, tasks]`. */
export function measureTasks(
  tasks: number,
  outputs: Record<"weak" | "student" | "ceiling" | "truth", Float64Array>,
): GainMeasures[] {
  return Array.from({ length: tasks }, (_, t) => {
    const [weak, student, ceiling, truth] = (["weak", "student", "ceiling", "truth"] as const).map((name) =>
      columnOf(outputs[name], tasks, t),
    );
    const variance = varianceOf(truth);
    const { misfit, weakError, studentError, gain, excess } = misfitGain({ weak, student, truth });
    const share = ({ value }: { value: number | null }) => (value as number) / variance;
    return {
      weakError: share(weakError),
      studentError: share(studentError),
      ceilingError: mean(ceiling.map((value, i) => (value - truth[i]) ** 2)) / variance,
      misfit: misfit / variance,
      gain: share(gain),
      violation: -share(excess),
      violationError: (excess.standardError as number) / variance,
    };
  });
}

export type Head = "linear" | "ball" | "mlp" | "own representation";

export interface LinearRow extends GainMeasures {
  strong: number;
  weak: number;
  task: number;
  head: Head;
}

/** Linear students of all weak representations on all strong ones. */
export const linearStage = defineStage({
  name: "misfit-gain/linear",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    ...worldFields,
    tasks: count,
    weakNoise: z.array(z.number()),
    strongNoise: z.array(z.number()),
    ballNoise: z.number(),
  }),
  inputs: {},
  async run({ config, folder }) {
    const { tasks } = config;
    const { world, inputs, width, see, noisy } = worldOf(config);
    const targets = world.targets(tasks, "tasks");
    const heads = { columns: width, outputs: tasks };
    const truth = targets(inputs.test);
    const given = targets(inputs.supervision);
    const known = targets(inputs.transfer);
    const supervisors = config.weakNoise.map((noise) => {
      const own = noisy(noise, "weak");
      const others = [see(own, "transfer"), see(own, "test")];
      const [labels, weak] = taught(see(own, "supervision"), given, others, heads);
      const [student] = taught(others[0], labels, [others[1]], heads);
      const [ceiling] = taught(others[0], known, [others[1]], heads);
      return { noise, labels, weak, own: { student, ceiling } };
    });
    const rows: LinearRow[] = [];
    const add = (
      at: { strong: number; weak: number; head: Head },
      outputs: Parameters<typeof measureTasks>[1],
    ) => {
      measureTasks(tasks, outputs).forEach((measures, task) => {
        rows.push({ ...at, task, ...measures });
      });
    };
    for (const { noise, weak, own } of supervisors) {
      add({ strong: noise, weak: noise, head: "own representation" }, { weak, truth, ...own });
    }
    for (const strong of config.strongNoise) {
      const representation = noisy(strong, "strong");
      const [seen, fresh] = [see(representation, "transfer"), see(representation, "test")];
      const [ceiling] = taught(seen, known, [fresh], heads);
      for (const { noise, labels, weak } of supervisors) {
        const [student] = taught(seen, labels, [fresh], heads);
        add({ strong, weak: noise, head: "linear" }, { weak, student, ceiling, truth });
        if (strong !== 0 || noise !== config.ballNoise) continue;
        const short = inBall(seen, labels, known, fresh, heads);
        add({ strong, weak: noise, head: "ball" }, { weak, student: short, ceiling, truth });
      }
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

/** Halvings of the range of ridges, in powers of ten from 1e-3 to 1e6. */
const HALVINGS = 14;

/**
 * Students whose weights are no longer than those of the head that learned the truth: a convex class that it lies in, and no linear
 * space. By ridge, whose weight is found by bisection.
 */
function inBall(
  seen: Float64Array,
  labels: Float64Array,
  known: Float64Array,
  fresh: Float64Array,
  { columns, outputs }: { columns: number; outputs: number },
): Float64Array {
  const shape = [seen.length / columns, columns] as const;
  const result = new Float64Array((fresh.length / columns) * outputs);
  for (let t = 0; t < outputs; t++) {
    const [own, truth] = [columnOf(labels, outputs, t), columnOf(known, outputs, t)];
    const radius = Math.hypot(...fitLeastSquares(seen, shape, truth).weights);
    let head = fitLeastSquares(seen, shape, own);
    if (Math.hypot(...head.weights) > radius) {
      let [low, high] = [-3, 6];
      for (let i = 0; i < HALVINGS; i++) {
        const middle = (low + high) / 2;
        head = fitLeastSquares(seen, shape, own, { ridge: 10 ** middle });
        if (Math.hypot(...head.weights) > radius) low = middle;
        else high = middle;
      }
    }
    applyLinearHead(head, fresh, [fresh.length / columns, columns]).forEach((value, row) => {
      result[row * outputs + t] = value;
    });
  }
  return result;
}
