import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, defineStage } from "outgrow";
import { type Cell, type Config, cellsOf, schema } from "./cells.js";
import { deadClasses, featureGrowth } from "./growth.js";
import { accuracyOf, drawCnn, type PatchCnn, rateOf, type Trained, trainCnn } from "./method.js";
import { blank, type Row } from "./rows.js";
import { dot } from "./span.js";
import { oscillationOf } from "./trace.js";
import { drawWorld, type World } from "./world.js";

/** Steps between looks at the weak feature. */
const EVERY = 100;
/** Of the theorem: delta above which an output oscillates, and what the weak feature must reach then. */
const DELTA = 0.2;
const LEARNED = DELTA / 4;
const [EARLY, FLAT_FROM] = [5000, 2000];

/** All trainings of one seed that start from the same filters. */
export const oscillationStage = defineStage({
  name: "benign-oscillation/trainings",
  version: 1,
  code: import.meta.url,
  config: schema.omit({ images: true }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const cells = cellsOf(config).filter(({ part }) => config.parts.includes(part));
    const rows: Row[] = [];
    for (const [i, cell] of cells.entries()) {
      signal.throwIfAborted();
      rows.push(...trainCell(cell, config));
      progress((i + 1) / cells.length, `${cell.name}, kappa ${cell.phases.at(-1)?.kappa}`);
      await new Promise(setImmediate);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

function trainCell(
  { part, name, phases, options = {}, layout, noise, weakTrain }: Cell,
  config: Omit<Config, "images">,
) {
  const random = createRandom(config.seed).stream("benign-oscillation");
  const own = { noise: noise ?? config.noise, weakTrain: weakTrain ?? config.weakTrain };
  const world = drawWorld(
    { ...config, ...own, strongNorm: 1, layout: layout ?? "two patches" },
    random.stream("world"),
  );
  const start = drawCnn(
    config.size,
    config.width,
    config.start / Math.sqrt(config.size),
    random.stream("filters"),
  );
  const probe = {
    every: EVERY,
    points: ([1, -1] as const).map((label) => ({ label, patches: [world.weak.map((v) => v * label)] })),
  };
  let cnn = start;
  let identityError: number | null = null;
  const trainings: Trained[] = [];
  for (const [i, { kappa, steps }] of phases.entries()) {
    const learningRate = rateOf(kappa, config.width);
    const order = random.stream("training", i);
    const trained = trainCnn(cnn, world.train, {
      ...options,
      learningRate,
      steps,
      random: order,
      probe,
      strongNorm: 1,
    });
    if (Object.keys(options).length === 0 && trained.divergedAt === null && layout !== "no weak feature") {
      const { trace } = trained;
      const growth = featureGrowth({
        before: cnn,
        after: trained.cnn,
        points: world.train,
        trace,
        feature: world.weak,
        learningRate,
      });
      for (const { measured, predicted } of growth) {
        const error = Math.abs(measured - predicted) / Math.abs(predicted);
        identityError = Math.max(identityError ?? 0, error);
      }
    }
    trainings.push(trained);
    cnn = trained.cnn;
    if (trained.divergedAt !== null) break;
  }
  const { kappa, steps } = phases[phases.length - 1];
  const row: Row = {
    ...blank,
    part,
    cell: name,
    kappa,
    steps,
    identityError,
    ...outcome(cnn, world, trainings),
    ...oscillation(trainings, world, own.weakTrain, options.batch === "all" ? config.train : 1),
    deadClasses: deadClasses(start, world.weak).length,
  };
  const shown = part === "sweep" && [0.5, 1.4].includes(kappa);
  return [row, ...(shown ? curves(row, trainings[0], own.weakTrain) : [])];
}

function outcome(cnn: PatchCnn, world: World, trainings: readonly Trained[]): Partial<Row> {
  const { divergedAt, probed } = trainings[trainings.length - 1];
  const strength = (feature: Float64Array, signs: readonly (1 | -1)[]) =>
    Math.max(
      ...cnn.filters.flatMap((filter, r) => {
        const sign = r < cnn.filters.length / 2 ? 1 : -1;
        return signs.includes(sign) ? [dot(filter, feature)] : [];
      }),
    ) / Math.sqrt(dot(feature, feature));
  const eitherWay = (feature: Float64Array) =>
    Math.max(
      strength(feature, [1]),
      strength(
        feature.map((value) => -value),
        [-1],
      ),
    );
  const diverged = divergedAt !== null;
  const noises = world.train.flatMap(({ patches, label }) =>
    patches
      .filter(
        (patch) =>
          dot(patch, patch) > 0 &&
          Math.abs(dot(patch, world.strong)) + Math.abs(dot(patch, world.weak)) < 1e-9,
      )
      .map((patch) => strength(patch as Float64Array, [label])),
  );
  // A network whose weights ran away classifies nothing: it stays in all means, as a failure.
  const [weakAccuracy, strongAccuracy, trainAccuracy] = [world.testWeak, world.testStrong, world.train].map(
    (points) => (diverged && points.length > 0 ? 0 : accuracyOf(cnn, points)),
  );
  return {
    weakAccuracy,
    strongAccuracy,
    mixedAccuracy:
      weakAccuracy === null || strongAccuracy === null ? null : (7 * strongAccuracy + weakAccuracy) / 8,
    trainAccuracy,
    weakOutput: Math.min(...(probed.at(-1) as Float64Array)),
    strongProjection: eitherWay(world.strong),
    weakProjection: eitherWay(world.weak),
    noiseProjection: noises.length === 0 ? null : Math.max(...noises),
    divergedAt,
    diverged: Number(diverged),
  };
}

/** Visits of strong points: those after the first `weakTrain` points. */
function strongVisits({ point, margin }: Trained["trace"], weakTrain: number, from: number, to: number) {
  const found: number[] = [];
  for (let visit = from; visit < Math.min(to, point.length); visit++) {
    if (point[visit] >= weakTrain) found.push(margin[visit]);
  }
  return found;
}

function oscillation(
  trainings: readonly Trained[],
  { train }: World,
  weakTrain: number,
  perStep: number,
): Partial<Row> {
  const { trace, probed } = trainings[trainings.length - 1];
  const during = (from: number, to: number) =>
    oscillationOf(strongVisits(trace, weakTrain, from * perStep, to * perStep), DELTA);
  const at = probed.findIndex((outputs) => Math.min(...outputs) >= LEARNED);
  const learnedAt = at < 0 ? null : at * EVERY;
  if (weakTrain === train.length) return { learnedAt };
  return {
    learnedAt,
    oscillating: during(0, EARLY).share,
    linearity: during(0, learnedAt ?? Number.POSITIVE_INFINITY).linearity,
    drift: during(FLAT_FROM, Number.POSITIVE_INFINITY).drift,
  };
}

/** What the pictures of single runs show. */
function curves(about: Row, { trace, probed }: Trained, weakTrain: number): Row[] {
  const point = (cell: string, steps: number, value: number): Row => ({
    ...blank,
    part: "curve",
    cell,
    kappa: about.kappa,
    steps,
    value,
  });
  const rows: Row[] = [];
  let drift = 0;
  const gap = Math.ceil(trace.point.length / 60);
  for (let visit = 0; visit < trace.point.length; visit++) {
    if (trace.point[visit] < weakTrain) continue;
    drift += 1 - trace.margin[visit];
    if (visit < 160) rows.push(point("output", visit, trace.margin[visit]));
    if (visit % gap === 0) rows.push(point("drift", visit, drift));
  }
  const sparse = Math.ceil(probed.length / 60);
  probed.forEach((outputs, i) => {
    if (i % sparse === 0) rows.push(point("weak output", i * EVERY, Math.min(...outputs)));
  });
  return rows;
}
