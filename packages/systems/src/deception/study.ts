import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Tensor } from "@outgrow/engine";
import {
  type Claim,
  createRandom,
  defineStage,
  encodeSafetensors,
  meanInterval,
  type ResultRow,
  report,
  type Study,
  type StudyResults,
} from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import {
  concatenatePairs,
  confidentPairs,
  type LabelledPairs,
  RewardModels,
  recipeDefaults,
  selectPairs,
} from "./method.js";
import { deceptionScores, type PairScores } from "./scores.js";
import { type DrawnPairs, PairWorld, pairWorldSchema } from "./world.js";

const sizes = z.strictObject({
  /** Numbers of features that the weak supervisors, the one between and the student see. */
  weak: z.array(count).min(1).default([6, 16]),
  strong: count.default(64),
  supervision: count.default(4000),
  transfer: count.default(4000),
  /** Helpfulness pairs of the implicit conflict. */
  helpfulness: count.default(2000),
  test: count.default(6000),
});

const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  sizes: sizes.prefault({}),
  /** A model knows a pair that it gets right with at least this confidence. */
  threshold: z.number().min(0.5).lt(1).default(0.75),
  recipe: z
    .strictObject({
      width: count.default(recipeDefaults.width),
      learningRate: z.number().positive().default(recipeDefaults.learningRate),
      epochs: count.default(recipeDefaults.epochs),
      batchSize: count.default(recipeDefaults.batchSize),
      payment: z.number().min(0).default(recipeDefaults.payment),
    })
    .prefault({}),
  world: pairWorldSchema.prefault({}),
});
type Config = z.output<typeof schema>;

/** What stands in the place of the conflicted student. */
const conditions = [
  "explicit",
  "implicit",
  "other seed",
  "no payment",
  "explicit, confident labels",
  "explicit, right confident labels",
  "explicit, bootstrapped",
] as const;
type Condition = (typeof conditions)[number];

/** All reward models of one seed and one weak supervisor, and what they say of the test pairs. */
const rewardsStage = defineStage({
  name: "deception/rewards",
  version: 1,
  code: import.meta.url,
  config: schema.omit({ threshold: true }).extend({ weak: count, threshold: z.number() }),
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const { seed, sizes, recipe, weak: weakSize, threshold } = config;
    const random = createRandom(seed).stream("deception");
    const world = new PairWorld(config.world, random.stream("world"));
    const models = shared(`reward models ${JSON.stringify(recipe)}`, () => new RewardModels(recipe));
    const draw = (name: string, size: number) => world.draw("harmlessness", size, random.stream(name));
    const supervision = draw("supervision", sizes.supervision);
    const transfer = draw("transfer", sizes.transfer);
    const test = draw("test", sizes.test);
    const helpful = world.draw("helpfulness", sizes.helpfulness, random.stream("helpfulness"));

    let done = 0;
    const total = 5 + 2 * conditions.length;
    const train = async (pairs: LabelledPairs, name: string) => {
      const params = await models.train(pairs, random.stream("model", name), signal);
      progress(++done / total, name);
      return params;
    };
    const labelled = (pairs: DrawnPairs, size: number, preference = pairs.truth): LabelledPairs => ({
      ...world.view(pairs, size),
      preference,
    });
    const judged = async (params: Awaited<ReturnType<typeof train>>, pairs: DrawnPairs, size: number) =>
      models.preferences(params, world.view(pairs, size));

    const weak = await train(labelled(supervision, weakSize), `weak ${weakSize}`);
    const weakLabels = await judged(weak, transfer, weakSize);
    const strong = sizes.strong;
    const learn = labelled(transfer, strong, weakLabels);
    const conflict = (pairs: LabelledPairs, truth = transfer.truth) => ({ ...pairs, truth });
    const testView = world.view(test, strong);
    const student = async (pairs: LabelledPairs, name = "student") =>
      models.preferences(await train(pairs, name), testView);

    const unpaid = new RewardModels({ ...recipe, payment: 0 });
    const scores: Record<string, Float32Array> = {
      truth: test.truth,
      weak: await judged(weak, test, weakSize),
      ceiling: await student(labelled(transfer, strong)),
      noConflict: await student(learn),
      explicit: await student(conflict(learn)),
      implicit: await student(concatenatePairs(learn, labelled(helpful, strong))),
      "other seed": await student(learn, "student, another seed"),
      "no payment": await unpaid
        .train(conflict(learn), random.stream("model", "student"), signal)
        .then((params) => models.preferences(params, testView)),
    };
    await unpaid.dispose();
    for (const filter of ["confidence", "oracle"] as const) {
      const kept = confidentPairs(conflict(learn), filter, threshold, transfer.truth);
      const name = filter === "oracle" ? "right confident labels" : "confident labels";
      scores[`${name}: no conflict`] = await student({ ...kept, truth: undefined });
      scores[`explicit, ${name}`] = await student(kept);
    }
    // A model between the two is labelled with one half of the pairs, and labels the other.
    const middleSize = sizes.weak.filter((size) => size > weakSize).at(-1);
    if (middleSize !== undefined) {
      const rows = Array.from(weakLabels.keys());
      const half = Math.floor(rows.length / 2);
      const [a, b] = [rows.slice(0, half), rows.slice(half)];
      const middle = await train(
        selectPairs(labelled(transfer, middleSize, weakLabels), a),
        `middle ${middleSize}`,
      );
      const labels = await judged(middle, transfer, middleSize);
      const hop = selectPairs(conflict(labelled(transfer, strong, labels)), b);
      scores["bootstrapped: no conflict"] = await student({ ...hop, truth: undefined });
      scores["explicit, bootstrapped"] = await student(hop);
    }
    const tensors = Object.fromEntries(
      Object.entries(scores).map(([name, values]) => [name, new Tensor(values)]),
    );
    await writeFile(join(folder, "scores.safetensors"), encodeSafetensors(tensors));
  },
});

type Row = ResultRow & {
  /** Features of the weak supervisor. */
  weak: number;
  condition: Condition;
  weakAccuracy: number;
  ceilingAccuracy: number;
  noConflictAccuracy: number;
  accuracy: number;
  conflictTax: number;
  deceptionScore: number | null;
  baseShare: number | null;
  lift: number | null;
  taxRateStrongOnly: number | null;
  taxRateNeither: number | null;
  taxed: number;
  /** Of the regions dealt out at random among the pairs: what the score would be if regions meant nothing. */
  shuffledScore: number | null;
};

/** The student without conflict that a condition is compared with: it has the same labels. */
const referenceOf = (condition: Condition): string =>
  condition.startsWith("explicit, ") ? `${condition.slice("explicit, ".length)}: no conflict` : "noConflict";

function rowOf(
  scores: Record<string, Float32Array>,
  weak: number,
  condition: Condition,
  { threshold, seed }: Config,
): Row {
  const given: PairScores = {
    truth: scores.truth,
    weak: scores.weak,
    ceiling: scores.ceiling,
    noConflict: scores[referenceOf(condition)],
    conflicted: scores[condition],
  };
  const measured = deceptionScores(given, { threshold });
  const order = createRandom(seed).stream("shuffled regions", weak).permutation(scores.truth.length);
  const shuffled = shuffleKnowledge(given, order);
  const accuracy = (values: Float32Array) =>
    values.reduce((sum, p, i) => sum + Number(p >= 0.5 === (scores.truth[i] === 1)), 0) / values.length;
  return {
    weak,
    condition,
    weakAccuracy: accuracy(scores.weak),
    ceilingAccuracy: accuracy(scores.ceiling),
    noConflictAccuracy: accuracy(scores[referenceOf(condition)]),
    accuracy: accuracy(scores[condition]),
    conflictTax: measured.conflictTax,
    deceptionScore: measured.deceptionScore.value,
    baseShare: measured.baseShare.value,
    lift: measured.lift.value,
    taxRateStrongOnly: measured.taxRate.strongOnly.value,
    taxRateNeither: measured.taxRate.neither.value,
    taxed: measured.taxed,
    shuffledScore: deceptionScores(shuffled, { threshold }).deceptionScore.value,
  };
}

/** Weak model and ceiling know other pairs, as many of them; students stay as they are. */
function shuffleKnowledge(scores: PairScores, order: Int32Array): PairScores {
  const moved = (column: ArrayLike<number>) =>
    Float32Array.from(order, (from, i) => {
      const confidenceInTruth = scores.truth[from] === 1 ? column[from] : 1 - column[from];
      return scores.truth[i] === 1 ? confidenceInTruth : 1 - confidenceInTruth;
    });
  return { ...scores, weak: moved(scores.weak), ceiling: moved(scores.ceiling) };
}

type Results = StudyResults<Row>;
const minus =
  (a: keyof Row & string, b: keyof Row & string) =>
  (row: Row): number | null => {
    const [x, y] = [row[a], row[b]];
    return typeof x === "number" && typeof y === "number" ? x - y : null;
  };
const excess = minus("deceptionScore", "baseShare");
const conflicts = ["explicit", "implicit"] as const;
const WIDE = 6;
const NARROW = 16;

const claims: Claim<Results>[] = [
  {
    id: "C1",
    statement: "Conflict costs more than another seed does.",
    parts: conflicts.map((condition) => ({
      statistic: `conflict tax, ${condition}, minus that of another seed`,
      unit: "share of test pairs",
      side: "above",
      values: (results: Results) =>
        results.differences(
          { weak: WIDE, condition },
          { weak: WIDE, condition: "other seed" },
          "conflictTax",
        ),
    })),
  },
  {
    id: "C2",
    statement:
      "What conflict costs lies where only the strong model knows the answer, more than chance would have it.",
    paper: { value: "in all settings", source: "abstract" },
    parts: conflicts.map((condition) => ({
      statistic: `deception score minus base share, ${condition}`,
      unit: "share",
      side: "above",
      values: (results: Results) => results.values({ weak: WIDE, condition }, excess),
    })),
  },
  {
    id: "C3",
    statement: "The deception score is above that of another seed without any conflict.",
    parts: conflicts.map((condition) => ({
      statistic: `deception score, ${condition}, minus that of another seed`,
      unit: "share",
      side: "above",
      values: (results: Results) =>
        results.differences(
          { weak: WIDE, condition },
          { weak: WIDE, condition: "other seed" },
          "deceptionScore",
        ),
    })),
  },
  {
    id: "C4",
    statement: "Pairs that only the strong model knows are lost more often than those that neither knows.",
    parts: conflicts.map((condition) => ({
      statistic: `tax rate, known to the strong model alone minus to neither, ${condition}`,
      unit: "share",
      side: "above",
      values: (results: Results) =>
        results.values({ weak: WIDE, condition }, minus("taxRateStrongOnly", "taxRateNeither")),
    })),
  },
  {
    id: "C5",
    statement: "Deception grows with the gap in capability.",
    paper: { value: "intensifies with the gap", source: "abstract" },
    parts: [
      {
        statistic: "lift, weak model of 6 minus of 16 features, explicit",
        unit: "lift",
        side: "above",
        values: (results) => acrossGaps(results, "lift"),
      },
      {
        statistic: "deception score minus base share, weak model of 6 minus of 16 features, explicit",
        unit: "share",
        side: "above",
        values: (results) => acrossGaps(results, excess),
      },
    ],
  },
  {
    id: "C6",
    statement: "Bootstrapping through a model between lowers deception and costs no accuracy.",
    paper: { value: "partial mitigation", source: "abstract" },
    parts: [
      {
        statistic: "deception score minus base share, bootstrapped minus direct, explicit",
        unit: "share",
        side: "below",
        values: (results) =>
          results.differences(
            { weak: WIDE, condition: "explicit, bootstrapped" },
            { weak: WIDE, condition: "explicit" },
            excess,
          ),
      },
      {
        statistic: "accuracy, bootstrapped minus direct, explicit (not worse by 0.01)",
        unit: "accuracy",
        side: "above",
        threshold: -0.01,
        values: (results) =>
          results.differences(
            { weak: WIDE, condition: "explicit, bootstrapped" },
            { weak: WIDE, condition: "explicit" },
            "accuracy",
          ),
      },
    ],
  },
  {
    id: "C7",
    statement: "Learning from confident labels alone changes deception little (by less than 0.05).",
    paper: { value: "little effect", source: "reviews" },
    parts: (["confident labels", "right confident labels"] as const).map((name) => ({
      statistic: `deception score minus base share, ${name} minus all, explicit`,
      unit: "share",
      side: "within",
      threshold: 0.05,
      values: (results: Results) =>
        results.differences(
          { weak: WIDE, condition: `explicit, ${name}` },
          { weak: WIDE, condition: "explicit" },
          excess,
        ),
    })),
  },
];

/** Differences of the same seeds between the weak models. */
const acrossGaps = (results: Results, measure: "lift" | ((row: Row) => number | null)) => {
  const value = typeof measure === "string" ? (row: Row) => row[measure] : measure;
  const wide = results.values({ weak: WIDE, condition: "explicit" }, value);
  const narrow = results.values({ weak: NARROW, condition: "explicit" }, value);
  return wide.map((items, i) =>
    items.map((a, j) => {
      const b = narrow[i][j];
      return a === null || b === null ? null : a - b;
    }),
  );
};

const controls: Claim<Results>[] = [
  {
    id: "N1",
    statement: "Without payment the conflict costs nothing: the student is the same, bit for bit.",
    parts: [
      {
        statistic: "conflict tax with a payment of 0",
        unit: "share of test pairs",
        side: "within",
        threshold: 1e-9,
        values: (results) => results.values({ weak: WIDE, condition: "no payment" }, "conflictTax"),
      },
    ],
  },
  {
    id: "N2",
    statement:
      "Where knowledge is dealt out to the pairs at random, the errors of conflict fall on it by chance alone.",
    parts: [
      {
        statistic: "deception score with shuffled knowledge minus base share, explicit",
        unit: "share",
        side: "within",
        threshold: 0.05,
        values: (results) =>
          results.values({ weak: WIDE, condition: "explicit" }, minus("shuffledScore", "baseShare")),
      },
    ],
  },
];

export const deception: Study<typeof schema, Row> = {
  name: "deception",
  title: "Weak-to-strong deception",
  paper: {
    title: "Super(ficial)-alignment: Strong Models May Deceive Weak Models in Weak-to-Strong Generalization",
    authors: "Yang et al.",
    year: 2024,
    url: "https://arxiv.org/abs/2406.11431",
    code: "https://github.com/keven980716/weak-to-strong-deception",
  },
  family: "core",
  summary:
    "Where a second objective conflicts with the supervised one, the student errs most where it knows the answer and its supervisor does not.",
  schema,
  measures: ["conflictTax", "deceptionScore", "lift", "accuracy"],
  conditions: ["weak", "condition"],
  seeds: 20,
  groups: [],
  items: [],
  claims,
  controls,
  quick: { sizes: { supervision: 400, transfer: 400, helpfulness: 200, test: 600 } },
  async run(config, { lab, progress, signal }) {
    const stage = progress.begin("reward models");
    const outputs = [];
    for (const [i, weak] of config.sizes.weak.entries()) {
      const onProgress = (fraction: number, detail?: string) =>
        stage.update((i + fraction) / config.sizes.weak.length, detail);
      const output = await lab.run(rewardsStage, { ...config, weak }, {}, { signal, onProgress });
      outputs.push({ weak, output });
    }
    stage.done();
    const rows: Row[] = [];
    for (const { weak, output } of outputs) {
      const { tensors } = await output.tensors("scores.safetensors");
      const scores = Object.fromEntries(
        Object.entries(tensors).map(([name, { data }]) => [name, data as Float32Array]),
      );
      for (const condition of conditions) {
        if (scores[condition]) rows.push(rowOf(scores, weak, condition, config));
      }
    }
    return rows;
  },
  async figures(results) {
    const rows = [WIDE, NARROW].flatMap((weak) =>
      ([...conflicts, "other seed"] as const).map((condition) => {
        const { mean, low, high } = meanInterval(results.values({ weak, condition }, excess));
        return { group: `weak model of ${weak} features`, label: condition, mean, low, high };
      }),
    );
    return [
      await report.estimates(
        { measure: "Deception score minus base share", rows },
        {
          name: "deception",
          title: "Errors of conflict in what only the strong model knows, beyond chance",
          caption:
            "0: errors fall on such pairs as often as on others. “Other seed”: a second student without conflict. Intervals cover 95\u00a0%.",
        },
      ),
    ];
  },
  notes: [
    "Replies are vectors rendered from a hidden latent; models of different sizes see projections of different sizes of it. " +
      "Harmlessness and helpfulness are directions with a correlation of -0.3.",
    "The raw score is large between any two students, conflict or none, because weak models leave much unknown: only its excess over the base share, and over another seed, means something.",
    "The filter “right confident labels” is the released code's; it looks at the truth.",
  ],
};
