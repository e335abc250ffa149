import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, defineStage, type Random } from "outgrow";
import { type Pair, schema } from "./fields.js";
import { drawGlyphs, drawHalves, flipLabels, type Glyph, type LabelledImages } from "./glyphs.js";
import { fitLda, fitLogistic, LinearSvm } from "./linear-classifiers.js";
import { blank, type Row } from "./rows.js";
import {
  centroids,
  dot,
  type LinearRule,
  nearestCentroid,
  type Point,
  tiltBound,
  tiltBoundary,
  tiltReport,
} from "./tilt.js";

export const glyphsOf = (pair: Pair) => pair.split("-") as [Glyph, Glyph];

/** Everything that is linear, of one seed. */
export const linearStage = defineStage({
  name: "boundary-tilting/linear",
  version: 1,
  code: import.meta.url,
  config: schema.omit({ network: true }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const random = createRandom(config.seed).stream("boundary-tilting");
    const rows: Row[] = [];
    const steps: (() => Row[])[] = [];
    if (config.parts.includes("theory")) steps.push(() => theory(random.stream("theory")));
    if (config.parts.includes("sweep")) {
      for (const pair of config.pairs) steps.push(() => sweep(pair, config, random));
    }
    if (config.parts.includes("dimension")) steps.push(() => dimension(config, random));
    if (config.parts.includes("halves")) steps.push(() => halves(config, random.stream("halves")));
    for (const [k, step] of steps.entries()) {
      signal.throwIfAborted();
      rows.push(...step());
      progress((k + 1) / steps.length);
      await new Promise(setImmediate);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});

type LinearConfig = Omit<import("./fields.js").Config, "network">;

/** Angle, strength and errors of a rule. Angles are against the centroids of the labels that it learnt from. */
function measured(
  rule: LinearRule,
  train: { points: readonly Point[]; labels: ArrayLike<number> },
  held: { validation?: LabelledImages; test?: LabelledImages } = {},
): Partial<Row> {
  const report = tiltReport(rule, train.points, train.labels);
  const { cosine, centroidDistance, adversarialDistance } = report;
  const error = (set?: LabelledImages) => (set ? errorOf(rule, set) : null);
  return {
    angle: report.angle === null ? null : (report.angle * 180) / Math.PI,
    cosine,
    strength: report.strength !== null && Number.isFinite(report.strength) ? report.strength : null,
    adversarialDistance,
    errorDistance: report.errorDistance,
    identityError:
      cosine === null || adversarialDistance === null
        ? null
        : Math.abs(adversarialDistance - (centroidDistance / 2) * cosine) / centroidDistance,
    trainError: report.error,
    validationError: error(held.validation),
    testError: error(held.test),
  };
}

function errorOf({ weights, bias }: LinearRule, { points, truth }: LabelledImages): number {
  const wrong = points.filter((point, row) => !((dot(weights, point) + bias) * truth[row] > 0));
  return wrong.length / points.length;
}

/** Two normal classes in 50 dimensions, in 10 of which points do not vary and in 10 hardly. */
function theory(random: Random): Row[] {
  const [count, size] = [200, 50];
  const labels = Int8Array.from({ length: count }, (_, row) => (row % 2 === 0 ? -1 : 1));
  const points = Array.from(labels, (label) =>
    Float64Array.from({ length: size }, (_, k) => {
      if (k >= 40) return 0;
      const spread = k >= 30 ? 1e-3 : 1;
      return spread * random.normal() + (k === 0 ? 4 * label : k < 5 ? 0.5 * label : 0);
    }),
  );
  const mean = Float64Array.from({ length: size }, (_, k) =>
    points.reduce((sum, x) => sum + x[k] / count, 0),
  );
  const weights = nearestCentroid(centroids(points, labels)).weights;
  const start: LinearRule = { weights, bias: -dot(weights, mean) };
  const side = (rule: LinearRule) => points.map((point) => dot(rule.weights, point) + rule.bias > 0);
  const before = side(start);
  const distances = points.map((point) => Math.abs(dot(start.weights, point) + start.bias));
  const margin = Math.min(...distances);
  const changes = (direction: Float64Array, angle: number) => {
    const rule = tiltBoundary(start, direction, angle, mean);
    const after = side(rule);
    const changed = after.filter((each, row) => each !== before[row]).length / count;
    const variance = points.reduce((sum, x) => {
      const along = dot(direction, x) - dot(direction, mean);
      return sum + (along * along) / count;
    }, 0);
    return { rule, changed, bound: tiltBound(variance, angle, margin) };
  };
  const along = (index: number) => Float64Array.from({ length: size }, (_, k) => Number(k === index));
  return [
    ...[1, 1.4, Math.acos(0.01), Math.acos(0.001)].map((angle) => ({ name: "zero", angle, index: 45 })),
    ...[1, 1.4, 1.55, 1.5695].map((angle) => ({ name: "low", angle, index: 35 })),
    // Where points do vary, the same angle costs predictions: what the effect is measured against.
    { name: "ordinary", angle: Math.acos(0.01), index: 20 },
  ].map(({ name, angle, index }) => {
    const { rule, changed, bound } = changes(along(index), angle);
    return {
      ...blank,
      part: "theory",
      classifier: `tilted, ${name} variance`,
      ...measured(rule, { points, labels }),
      changed,
      beyondBound: changed - bound,
    };
  });
}

function sweep(pair: Pair, config: LinearConfig, random: Random): Row[] {
  const draw = (name: string, count: number) =>
    drawGlyphs(glyphsOf(pair), count, config.size, `boundary-tilting ${config.seed} ${pair} ${name}`);
  const [train, validation, test] = [
    draw("train", config.train),
    draw("validation", config.validation),
    draw("test", config.test),
  ];
  const svm = new LinearSvm(train.points);
  const held = [...validation.points, ...test.points];
  const heldTruth = [...validation.truth, ...test.truth];
  const population = tiltReport(fitLda(held, heldTruth), held, heldTruth).angle;
  const rows: Row[] = [];
  for (const flips of [config.flips, 0]) {
    const labels = flipLabels(train.truth, flips, random.stream("flips", pair));
    const given = { points: train.points, labels };
    const about = { ...blank, part: "sweep", pair, flips: flips > 0, size: config.size } as const;
    // The largest level first: a solution is a start for the next.
    let start: Float64Array | undefined;
    const levels = [...config.powers]
      .sort((a, b) => b - a)
      .map((power): Row => {
        const rule = svm.fit(labels, 10 ** power, { ...config.svm, start });
        start = rule.alphas;
        const gap = rule.gap;
        return { ...about, classifier: "svm", power, gap, ...measured(rule, given, { validation, test }) };
      })
      .reverse();
    // The most regularised where several are equally good.
    const best = levels.reduce((a, b) => ((b.validationError ?? 1) <= (a.validationError ?? 1) ? b : a));
    rows.push(...levels.map((row) => ({ ...row, chosen: row === best })));
    const others: [string, LinearRule][] = [
      ["nearest centroid", nearestCentroid(centroids(train.points, labels))],
      ["logistic regression", fitLogistic(train.points, labels, 10 ** (best.power as number))],
      // So strongly regularised that no point reaches its margin: all push alike.
      ["svm, lambda 1000", svm.fit(labels, 1000, config.svm)],
    ];
    for (const [classifier, rule] of others) {
      rows.push({ ...about, classifier, ...measured(rule, given, { validation, test }) });
    }
    rows.push({
      ...about,
      classifier: "lda of held-out images",
      angle: ((population as number) * 180) / Math.PI,
    });
  }
  return rows;
}

/** The same images at several sizes, each with noise of its own. */
function dimension(config: LinearConfig, random: Random): Row[] {
  return config.dimension.sizes.map((size) => {
    const seed = `boundary-tilting ${config.seed} ${config.pairs[0]} train`;
    const { points, truth } = drawGlyphs(glyphsOf(config.pairs[0]), config.train, size, seed);
    const labels = flipLabels(truth, config.flips, random.stream("flips", config.pairs[0]));
    const lambda = 10 ** config.dimension.power * (size / 28) ** 2;
    const rule = new LinearSvm(points).fit(labels, lambda, config.svm);
    const about = {
      ...blank,
      part: "dimension",
      pair: config.pairs[0],
      flips: true,
      size,
      classifier: "svm",
    };
    return { ...about, ...measured(rule, { points, labels }) };
  });
}

function halves(config: LinearConfig, random: Random): Row[] {
  const train = drawHalves(Math.min(200, config.train), config.size, random.stream("train"));
  const test = drawHalves(200, config.size, random.stream("test"));
  const rule = new LinearSvm(train.points).fit(train.truth, 1e-6, { epochs: 1000, tolerance: 1e-3 });
  const given = { points: train.points, labels: train.truth };
  return [
    {
      ...blank,
      part: "halves",
      size: config.size,
      classifier: "svm",
      gap: rule.gap,
      ...measured(rule, given, { test }),
    },
  ];
}
