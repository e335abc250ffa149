/*
 * The system as `outgrow reproduce w2sg` runs it: one world for each seed.
 */
import { type ExperimentContext, meanInterval, methods, report, type Study, StudyResults } from "outgrow";
import { z } from "zod";
import {
  ceilingPassesStage,
  lessonStage,
  lessons,
  lossAfterBest,
  PASSES,
  type Passes,
  passesStage,
  salienceStage,
} from "./analyses.js";
import { classificationClaims, classificationControls, type TaskRow } from "./claims.js";
import { compare } from "./compare.js";
import { count, distinct } from "./fields.js";
import { ladderDefaults, rungName } from "./ladder.js";
import { puzzleClaims, puzzleControls } from "./puzzles/claims.js";
import { type PuzzleRow, puzzleFigure, puzzlesSchema, runPuzzles } from "./puzzles/part.js";
import { rewardClaims, rewardControls } from "./reward-models/claims.js";
import { type RewardRow, rewardFigure, rewardModelsSchema, runRewardModels } from "./reward-models/part.js";
import { ceilingStage, type Mode, modes, readPredictions, supervisorStage } from "./stages.js";
import { pretrainedRung, runStudy, studySchema } from "./study.js";

const parts = ["classification", "puzzles", "reward-models"] as const;

type Row = TaskRow | PuzzleRow | RewardRow;

const schema = studySchema.extend({
  /** One for each seed. */
  worlds: count.default(1),
  /** Of each world. The card has five of each world, which `outgrow start --full` runs; with three all claims are judged within minutes. */
  tasks: count.default(3),
  /** Methods of linear probes. */
  methods: distinct(z.string(), "method").default(
    methods.flatMap(({ name, several }) => (several ? [] : [name])),
  ),
  /** Methods of full finetuning. */
  finetuneMethods: distinct(z.string(), "method").default(["naive", "confidence"]),
  modes: distinct(z.enum(modes), "mode").default([...modes]),
  /** The analyses that need trainings of their own. */
  analyses: z.boolean().default(true),
  passes: z.int().min(2).default(PASSES),
  puzzles: puzzlesSchema.prefault({}),
  rewardModels: rewardModelsSchema.prefault({}),
  parts: distinct(z.enum(parts), "part").default([...parts]),
});
type Config = z.output<typeof schema>;

const none = {
  weakAccuracy: null,
  studentAccuracy: null,
  ceilingAccuracy: null,
  pgr: null,
  agreement: null,
  agreementWhenWeakRight: null,
  agreementWhenWeakWrong: null,
  lossAfterBest: null,
  ceilingLossAfterBest: null,
  probeBefore: null,
  probeAfter: null,
};

const measuresOf = ({
  weakAccuracy,
  studentAccuracy,
  ceilingAccuracy,
  pgr,
  agreement,
}: ReturnType<typeof compare>) => ({
  ...none,
  weakAccuracy,
  studentAccuracy,
  ceilingAccuracy,
  pgr,
  agreement: agreement.overall,
  agreementWhenWeakRight: agreement.whenWeakRight,
  agreementWhenWeakWrong: agreement.whenWeakWrong,
});

async function classification(config: Config, context: ExperimentContext): Promise<TaskRow[]> {
  const {
    parts: _,
    analyses,
    passes: __,
    finetuneMethods,
    puzzles: ___,
    rewardModels: ____,
    ...study
  } = config;
  const rows: TaskRow[] = [];
  for (const mode of study.modes) {
    const own = {
      ...study,
      modes: [mode],
      methods: mode === "linear-probe" ? study.methods : finetuneMethods,
    };
    for (const record of await runStudy(own, context)) {
      const { world, task, weak, student, method } = record;
      rows.push({ part: "classification", world, task, mode, weak, student, method, ...measuresOf(record) });
    }
  }
  if (analyses) rows.push(...(await analyse(config, context)));
  return rows;
}

/** A3 on linear probes; A1 and A4 on full finetuning. */
async function analyse(
  config: Config,
  { lab, progress, signal, seedsTogether }: ExperimentContext,
): Promise<TaskRow[]> {
  const { seed, world, tasks, supervisionSize, transferSize, testSize } = config;
  const supervisors = config.ladder.slice(0, -1);
  const strong = config.ladder[config.ladder.length - 1];
  const stage = progress.begin("analyses", config.worlds * tasks);
  const pending: (() => Promise<TaskRow>)[] = [];
  let done = 0;
  for (let index = 0; index < config.worlds; index++) {
    const ofWorld = { seed, index, world };
    const pretrained = (rung: typeof strong) =>
      pretrainedRung(lab, { ...ofWorld, rung }, seedsTogether, { signal });
    for (let task = 0; task < tasks; task++) {
      for (const rung of supervisors) {
        const [weak, student] = [rungName(rung.width), rungName(strong.width)];
        const about = (mode: Mode, method: string) => ({
          part: "classification" as const,
          world: index,
          task,
          mode,
          weak,
          student,
          method,
        });
        const of = async (mode: Mode) => {
          const taskConfig = { ...ofWorld, task, mode, supervisionSize, transferSize, testSize };
          const backbone = await pretrained(strong);
          const supervisor = await lab.run(
            supervisorStage,
            taskConfig,
            { backbone: await pretrained(rung) },
            { signal },
          );
          return { taskConfig: { ...taskConfig, weak }, inputs: { backbone, supervisor }, backbone };
        };
        if (config.modes.includes("linear-probe")) {
          const { taskConfig, inputs, backbone } = await of("linear-probe");
          const { weak: _, ...ceilingConfig } = taskConfig;
          const ceiling = await lab.run(ceilingStage, ceilingConfig, { backbone }, { signal });
          for (const lesson of lessons) {
            const output = await lab.run(lessonStage, { ...taskConfig, lesson }, inputs, { signal });
            pending.push(async () => {
              const [top, labels, own] = [
                await readPredictions(ceiling),
                await readPredictions(inputs.supervisor),
                await readPredictions(output),
              ];
              const predictions = { weak: labels.test, student: own.test, ceiling: top.test };
              return {
                ...about("linear-probe", lesson),
                ...measuresOf(compare(top.truth as Int32Array, predictions)),
              };
            });
          }
        }
        if (config.modes.includes("full-finetune")) {
          const { taskConfig, inputs } = await of("full-finetune");
          const followed = { ...taskConfig, passes: config.passes };
          const { weak: _, ...followedCeiling } = followed;
          const { backbone } = inputs;
          const curve = await lab.run(passesStage, followed, inputs, { signal });
          const ceilingCurve = await lab.run(ceilingPassesStage, followedCeiling, { backbone }, { signal });
          const probes = await lab.run(salienceStage, taskConfig, inputs, { signal });
          pending.push(
            async () => {
              const losses = {
                lossAfterBest: lossAfterBest(await curve.json<Passes>("passes.json")),
                ceilingLossAfterBest: lossAfterBest(await ceilingCurve.json<Passes>("passes.json")),
              };
              return { ...about("full-finetune", "passes"), ...none, ...losses };
            },
            async () => {
              const { before, after } = await probes.json<{ before: number; after: number }>("salience.json");
              return {
                ...about("full-finetune", "salience"),
                ...none,
                probeBefore: before,
                probeAfter: after,
              };
            },
          );
        }
        stage.update(++done / (config.worlds * tasks * supervisors.length), `task ${task + 1}, ${weak}`);
      }
    }
  }
  stage.done();
  // Nothing is read before all is trained, so that a sweep can be planned without training.
  const rows: TaskRow[] = [];
  for (const read of pending) rows.push(await read());
  return rows;
}

export const w2sg: Study<typeof schema, Row> = {
  name: "w2sg",
  title: "Weak-to-strong generalization",
  paper: {
    title: "Weak-to-Strong Generalization: Eliciting Strong Capabilities With Weak Supervision",
    authors: "Burns et al.",
    year: 2023,
    url: "https://arxiv.org/abs/2312.09390",
    code: "https://github.com/openai/weak-to-strong",
  },
  family: "core",
  summary:
    "A strong pretrained model finetuned on labels of a weaker one beats that weaker one and stays below its own ceiling.",
  schema,
  measures: ["pgr", "studentAccuracy"],
  conditions: ["part", "mode", "weak", "method"],
  seeds: 5,
  groups: ["world"],
  items: ["task"],
  parts,
  claims: [...classificationClaims, ...puzzleClaims, ...rewardClaims],
  controls: [...classificationControls, ...rewardControls, ...puzzleControls],
  quick: {
    tasks: 2,
    supervisionSize: 600,
    transferSize: 600,
    testSize: 600,
    passes: 4,
    puzzles: {
      ladder: [8, 12, 16].map((width) => ({ width, layers: 1, heads: 2, tokens: 20_000 })),
      supervisionPuzzles: 100,
      transferPuzzles: 100,
      testPuzzles: 200,
      epochs: 1,
    },
    rewardModels: { supervisionPairs: 600, transferPairs: 600, testPairs: 600 },
    ladder: ladderDefaults.map(({ width, samples, epochs }) => ({
      width,
      samples: Math.ceil(samples / 20),
      epochs,
    })),
  },
  async run(config, context) {
    const run = { classification, puzzles: runPuzzles, "reward-models": runRewardModels };
    const rows: Row[] = [];
    for (const part of config.parts) rows.push(...(await run[part](config, context)));
    return rows;
  },
  async figures(results) {
    const tasks = rowsOf<TaskRow>(results, "classification");
    const puzzles = rowsOf<PuzzleRow>(results, "puzzles");
    const rewards = rowsOf<RewardRow>(results, "reward-models");
    const figures = [];
    if (tasks) figures.push(await gapRecovered(tasks), await howHardToImitate(tasks));
    if (puzzles) figures.push(await puzzleFigure(puzzles));
    if (rewards) figures.push(await rewardFigure(rewards));
    return figures;
  },
  notes: [
    "One world for each seed, with several tasks: vectors rendered from a hidden latent; models of four sizes are pretrained on " +
      "targets of the latent that are never a task.",
    "The ceiling is trained on the student's own examples, as in the paper; the released code trains it on the supervisor's half.",
    "The PGR is undefined where the ceiling exceeds the supervisor by fewer than 2 standard errors; such items are counted and left out of its means.",
    "Track B: a king's way to a target on boards of 5x5 squares, around walls and the squares that a knight attacks, stands for chess " +
      "(`--set puzzles.board=chess` plays the real one). The loss of pretraining leaves out a document's first board, which is random.",
    "Track C: reward models on the same ladder learn a hidden utility of the world's items from pairs. Generative finetuning is " +
      "pretraining that goes on with the items of the student's pairs; its PGR is against a ceiling that had it too.",
    "C6 chooses the best pass on one half of the tests and measures it on the other: on the same tests a best pass is always there.",
  ],
};

/** The results of a part, if it ran. */
function rowsOf<Of extends Row>(results: StudyResults<Row>, part: Of["part"]): StudyResults<Of> | undefined {
  const rows = results.rows.filter((row) => row.part === part) as (Of & { seed: number })[];
  return rows.length > 0 ? new StudyResults(rows, w2sg) : undefined;
}

const supervisorsOf = (results: StudyResults<TaskRow>) => [...new Set(results.rows.map(({ weak }) => weak))];

/** PGR of all methods, by gap. */
function gapRecovered(results: StudyResults<TaskRow>) {
  const names = [
    ...new Set(
      results.rows
        .filter((row) => row.mode === "linear-probe" && row.method !== "self-training")
        .map(({ method }) => method),
    ),
  ].filter((name) => !(lessons as readonly string[]).includes(name));
  const rows = supervisorsOf(results).flatMap((weak) =>
    names.map((method) => ({
      group: `${weak} → MLP 256`,
      method,
      role: method === "random init" ? ("control" as const) : ("student" as const),
      ...meanInterval(results.values({ mode: "linear-probe", weak, method }, "pgr")),
    })),
  );
  return report.pgrByMethod({ rows }, { name: "pgr", title: "Performance gap recovered (linear probe)" });
}

/** Analysis A3. */
function howHardToImitate(results: StudyResults<TaskRow>) {
  const rows = supervisorsOf(results).flatMap((weak) =>
    ["random flips", "naive", "shallow errors", "label as input"].map((method) => ({
      group: `${weak} → MLP 256`,
      label: method === "naive" ? "the supervisor's own labels" : method,
      ...meanInterval(results.values({ mode: "linear-probe", weak, method }, "pgr")),
    })),
  );
  return report.estimates(
    { measure: "Performance gap recovered", rows },
    { name: "imitation", title: "How hard the errors are to imitate" },
  );
}
