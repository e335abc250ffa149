import {
  type Claim,
  type ExperimentContext,
  meanInterval,
  type ResultRow,
  report,
  type StageOutput,
  type Study,
  type StudyResults,
} from "outgrow";
import { z } from "zod";
import { count, distinct } from "../w2sg/fields.js";
import { type ChoiceRow, choiceStage, type Rule, rules, teachersSchema } from "./choice-stage.js";
import { claims, controls } from "./claims.js";
import { type KlRow, klStage } from "./kl-stage.js";
import { type GainMeasures, type Head, type LinearRow, linearStage, worldFields } from "./linear-stage.js";
import { type PretrainedRow, pretrainedStage, richStage } from "./network-stages.js";

const parts = ["linear", "pretrained", "rich", "choice", "kl"] as const;
const noise = z.number().min(0);

const schema = z.strictObject({
  ...worldFields,
  parts: distinct(z.enum(parts), "part").default([...parts]),
  linear: z
    .strictObject({
      tasks: count.default(10),
      /** Standard deviations of what is added to every weight of the true representation. */
      weakNoise: distinct(noise, "noise").default([0.05, 0.08, 0.12, 0.18, 0.25]),
      /** The first is realizable, the second nearly. */
      strongNoise: distinct(noise, "noise").default([0, 0.02, 0.05, 0.1, 0.2]),
      /** That of the weak representation whose labels heads of bounded length learn too. */
      ballNoise: noise.default(0.12),
    })
    .prefault({}),
  pretrained: z
    .strictObject({
      tasks: count.default(100),
      pretraining: z.strictObject({ tasks: count.default(10), rows: count.default(2000) }).prefault({}),
      weakLayers: count.default(2),
      strongLayers: count.default(8),
      steps: count.default(3000),
      batchSize: count.default(128),
      learningRate: z.number().positive().default(1e-3),
    })
    .prefault({}),
  rich: z
    .strictObject({
      weak: noise.default(0.12),
      width: count.default(64),
      steps: count.default(1000),
      batchSize: count.default(128),
      learningRate: z.number().positive().default(3e-3),
    })
    .prefault({}),
  choice: z
    .strictObject({
      tasks: count.default(16),
      strong: noise.default(0.02),
      validation: z.int().min(2).default(500),
      teachers: teachersSchema,
      labelNoise: z.number().min(0).default(0.3),
      ridge: z.number().min(0).default(0.1),
      few: count.default(40),
    })
    .prefault({}),
  kl: z
    .strictObject({
      tasks: count.default(1),
      classes: z.int().min(2).default(4),
      weak: noise.default(0.12),
      logits: z.number().positive().default(1.5),
      components: distinct(count, "number").default([1, 4, 16]),
      mixed: count.default(2000),
      iterations: count.default(120),
    })
    .prefault({}),
});
type Config = z.output<typeof schema>;

export interface Row extends ResultRow {
  part: (typeof parts)[number];
  /** `R` realizable, `N` nearly, `P` pretrained, `other` in between. */
  setting: "R" | "N" | "P" | "other" | null;
  /** Noise of the strong and of the weak representation. */
  strong: number | null;
  weak: number | null;
  task: number;
  head: Head | null;
  weakError: number | null;
  studentError: number | null;
  ceilingError: number | null;
  misfit: number | null;
  gain: number | null;
  violation: number | null;
  violationError: number | null;
  rule: Rule | null;
  hit: number | null;
  regret: number | null;
  components: number | null;
}

const blank = {
  setting: null,
  strong: null,
  weak: null,
  head: null,
  weakError: null,
  studentError: null,
  ceilingError: null,
  misfit: null,
  gain: null,
  violation: null,
  violationError: null,
  rule: null,
  hit: null,
  regret: null,
  components: null,
};

async function run(config: Config, { lab, progress, signal }: ExperimentContext): Promise<Row[]> {
  const { seed, layers, sizes, linear, rich, choice } = config;
  const world = { seed, layers, sizes };
  const wants = (part: (typeof parts)[number]) => config.parts.includes(part);
  const outputs: [(typeof parts)[number], StageOutput][] = [];
  for (const part of parts.filter(wants)) {
    const stage = progress.begin(part);
    const how = { signal, onProgress: (fraction: number) => stage.update(fraction) };
    const output =
      part === "linear"
        ? await lab.run(linearStage, { ...world, ...linear }, {}, how)
        : part === "pretrained"
          ? await lab.run(pretrainedStage, { ...world, ...config.pretrained }, {}, how)
          : part === "rich"
            ? await lab.run(richStage, { ...world, tasks: linear.tasks, ...rich }, {}, how)
            : part === "choice"
              ? await lab.run(choiceStage, { ...world, ...choice }, {}, how)
              : await lab.run(klStage, { ...world, ...config.kl }, {}, how);
    outputs.push([part, output]);
    stage.done();
  }
  const rows: Row[] = [];
  for (const [part, output] of outputs) {
    const found = await output.json<object[]>("rows.json");
    for (const row of found) rows.push({ ...blank, part, ...placed(part, row, config) } as Row);
  }
  return rows;
}

/** What the row's stage does not say of it. */
function placed(part: Row["part"], row: object, { linear, rich }: Config): object {
  if (part === "linear") {
    const { strong, head } = row as LinearRow;
    const at = linear.strongNoise.indexOf(strong);
    return {
      ...row,
      setting: head === "own representation" ? "other" : at === 0 ? "R" : at === 1 ? "N" : "other",
    };
  }
  if (part === "pretrained") return { ...(row as PretrainedRow), setting: "P", head: "linear" };
  if (part === "rich") {
    return { ...(row as PretrainedRow), setting: "R", head: "mlp", strong: 0, weak: rich.weak };
  }
  return row as ChoiceRow | KlRow;
}

export const misfitGain: Study<typeof schema, Row> = {
  name: "misfit-gain",
  title: "The student gains what it cannot fit",
  paper: {
    title: "Quantifying the Gain in Weak-to-Strong Generalization",
    authors: "Charikar, Pabbaraju, Shiragur",
    year: 2024,
    url: "https://arxiv.org/abs/2405.15116",
  },
  family: "theory and robustness",
  summary:
    "With squared loss and linear heads on a strong representation, the student's error is lower than the weak labels' by about its misfit to them.",
  schema,
  measures: ["gain", "misfit", "weakError", "studentError", "ceilingError"],
  conditions: ["part", "setting", "strong", "weak", "head", "rule", "components"],
  parts,
  seeds: 10,
  groups: [],
  items: ["weak", "task"],
  claims,
  controls,
  quick: {
    sizes: { supervision: 300, transfer: 300, test: 400 },
    linear: { tasks: 3 },
    pretrained: { tasks: 10, steps: 60, pretraining: { rows: 256 } },
    rich: { steps: 60 },
    choice: { tasks: 3, validation: 100 },
    kl: { tasks: 1, mixed: 200, iterations: 20, components: [1, 4] },
  },
  run,
  figures,
  notes: [
    "Inputs are N(0, I) in 8 dimensions, the true representation a random ReLU network, targets linear in it. Weak representations are the true one with noise on every weight. All errors are shares of the target's variance.",
    "In setting P the representations are those of networks with 2 and 8 hidden layers that were trained on ten other tasks.",
    "Where bound and gain are equal, as they are for linear heads in setting R, about 2.3 % of runs exceed two standard errors by chance.",
    "The score is made of 500 true labels and of the misfit on the same examples; the students are judged on others.",
  ],
};

async function figures(results: StudyResults<Row>) {
  const made = [];
  const has = (condition: Partial<Row>) =>
    results.rows.some((row) => Object.entries(condition).every(([name, value]) => row[name] === value));
  const settings = (["R", "N", "P"] as const).filter((setting) => has({ setting, head: "linear" }));
  if (settings.length > 0) {
    const linear = results.rows.filter((row) => row.head === "linear");
    const far = linear.filter((row) => settings.includes(row.setting as "R") && !isShown(row)).length;
    made.push(
      await report.scatter(
        {
          x: "Misfit (share of the target's variance)",
          y: "Gain (share of the target's variance)",
          series: settings.map((setting) => ({
            name: { R: "R: realizable", N: "N: nearly", P: "P: pretrained" }[setting],
            points: thinned(linear.filter((row) => row.setting === setting && isShown(row))).map(
              (row): [number, number] => [row.misfit as number, row.gain as number],
            ),
          })),
          diagonal: "gain = misfit",
        },
        {
          name: "gain-by-misfit",
          title: "What the student gains is what it cannot fit",
          caption: `Each point is a student of one weak representation and task, at most 400 of each setting.${far === 0 ? "" : ` Off the picture: ${far} students with a misfit above ${FARTHEST}.`}`,
        },
      ),
    );
  }
  const strengths = [...new Set(results.rows.filter(isStrength).map((row) => row.strong as number))];
  if (strengths.length > 0) {
    const rows = strengths
      .sort((a, b) => a - b)
      .map((strong) => {
        const values = results.values({ part: "linear", head: "linear", strong }, (row) =>
          Math.abs((row.gain as number) - (row.misfit as number)),
        );
        return {
          group: "noise on the strong representation",
          label: String(strong),
          ...meanInterval(values),
        };
      });
    made.push(
      await report.estimates(
        { measure: "|gain − misfit| (share of the target's variance)", rows },
        { name: "limit", title: "The law ends where no head is near the truth" },
      ),
    );
  }
  if (has({ part: "choice" })) {
    const rows = rules
      .filter((rule) => rule !== "oracle")
      .map((rule) => ({ group: "rule", label: rule, ...meanInterval(results.values({ rule }, "regret")) }));
    made.push(
      await report.estimates(
        { measure: "Regret (share of the target's variance)", rows },
        { name: "choice", title: "What choosing among six weak teachers costs" },
      ),
    );
  }
  return made;
}

/** Misfit up to which students are drawn: beyond it their labels say nothing of the target. */
const FARTHEST = 1.5;
const isShown = (row: Row) => (row.misfit as number) <= FARTHEST;

const isStrength = (row: Row) => row.part === "linear" && row.head === "linear";

function thinned<T>(rows: readonly T[]): T[] {
  const step = Math.ceil(rows.length / 400);
  return rows.filter((_, i) => i % step === 0);
}

export type { GainMeasures };
export type Results = StudyResults<Row>;
export type MisfitClaim = Claim<Results>;
