import { meanInterval, report, type Study, type StudyResults } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { documentShares, modelSize, modelSizes, pretrainStage, sizeNames } from "./base-models.js";
import { claims, controls } from "./claims.js";
import { classificationStage, type Predictions, tasks } from "./classification-stage.js";
import { classificationRows, metricOf, type Row, toxicityRows } from "./rows.js";
import { type Scored, toxicityStage } from "./toxicity-stage.js";
import { strategies } from "./weak-labels.js";

const parts = [...tasks, "toxicity"] as const;

const schema = z.strictObject({
  seed: z.int().min(0).default(0),
  parts: z.array(z.enum(parts)).default([...parts]),
  /** Finetuning runs of each pretraining, which is the seed's. */
  runs: count.default(2),
  sizes: z
    .strictObject({
      weak: modelSize.default(modelSizes.weak),
      middle: modelSize.default(modelSizes.middle),
      strong: modelSize.default(modelSizes.strong),
    })
    .prefault({}),
  pretraining: z
    .strictObject({
      learningRate: z.number().positive().default(3e-3),
      batchSize: count.default(8),
      documents: documentShares.prefault({}),
    })
    .prefault({}),
  safety: z
    .strictObject({
      supervision: count.default(1500),
      transfer: count.default(640),
      test: count.default(1000),
    })
    .prefault({}),
  legal: z
    .strictObject({
      supervision: count.default(1500),
      transfer: count.default(640),
      test: count.default(1000),
    })
    .prefault({}),
  toxicity: z
    .strictObject({
      supervision: count.default(1500),
      transfer: count.default(200),
      test: count.default(100),
      samples: count.default(10),
    })
    .prefault({}),
  /** Share of wrong labels in the weak model's supervision, in the safety track. */
  noise: z.number().min(0).max(0.5).default(0.05),
  /** Of the middle and the strong model on labels. */
  finetuning: z
    .strictObject({
      learningRate: z.number().positive().default(1e-3),
      epochs: count.default(3),
      batchSize: count.default(16),
    })
    .prefault({}),
  /** Of the middle and the strong model on continuations: slower, they still write the reactions of pretraining. */
  continuing: z
    .strictObject({
      learningRate: z.number().positive().default(3e-3),
      epochs: count.default(3),
      batchSize: count.default(16),
    })
    .prefault({}),
  /** Of the weak model on true labels and texts: so small a one needs longer. */
  weakFinetuning: z
    .strictObject({
      learningRate: z.number().positive().default(3e-3),
      epochs: count.default(10),
      batchSize: count.default(16),
    })
    .prefault({}),
});

export const wtsBeyondAccuracy: Study<typeof schema, Row> = {
  name: "wts-beyond-accuracy",
  title: "Weak-to-strong beyond accuracy",
  paper: {
    title:
      "Weak-to-Strong Generalization beyond Accuracy: a Pilot Study in Safety, Toxicity, and Legal Reasoning",
    authors: "Ye, Xiao and Hui",
    year: 2024,
    url: "https://arxiv.org/abs/2410.12621",
    code: "https://github.com/yeruimeng/WTS",
  },
  family: "core",
  summary:
    "Weak-to-strong generalization appears in judging safety, in legal relevance and in writing without toxicity, and each needs a measure of its own.",
  schema,
  measures: [
    "pgr",
    "accuracy",
    "balancedAccuracy",
    "weightedF1",
    "falseSafeRate",
    "maximumToxicity",
    "quality",
  ],
  conditions: ["track", "method"],
  seeds: 3,
  groups: [],
  items: ["run"],
  parts,
  claims,
  controls,
  quick: {
    runs: 1,
    sizes: {
      weak: { ...modelSizes.weak, tokens: 10_000 },
      middle: { ...modelSizes.middle, tokens: 20_000 },
      strong: { ...modelSizes.strong, tokens: 40_000 },
    },
    safety: { supervision: 200, transfer: 200, test: 200 },
    legal: { supervision: 200, transfer: 200, test: 200 },
    toxicity: { supervision: 100, transfer: 60, test: 30, samples: 3 },
  },
  async run(config, { lab, progress, signal }) {
    const { seed, sizes, pretraining, runs, noise, finetuning, weakFinetuning } = config;
    const stage = progress.begin("models and tracks");
    const total = sizeNames.length + config.parts.length;
    let done = 0;
    const options = () => {
      const before = done++;
      return {
        signal,
        onProgress: (share: number, detail?: string) => stage.update((before + share) / total, detail),
      };
    };
    const outputs = [];
    for (const name of sizeNames) {
      outputs.push(await lab.run(pretrainStage, { seed, size: sizes[name], ...pretraining }, {}, options()));
    }
    const [weak, middle, strong] = outputs;
    const inputs = { weak, middle, strong };
    const pending: (() => Promise<Row[]>)[] = [];
    for (const task of tasks) {
      if (!config.parts.includes(task)) continue;
      const own = {
        items: config[task],
        noise,
        // As published: 0.1 for safety, 0.01 for legal relevance.
        weightDecay: task === "safety" ? 0.1 : 0.01,
        finetuning,
        weakFinetuning,
      };
      const output = await lab.run(
        classificationStage,
        { seed, task, runs, sizes, ...own },
        inputs,
        options(),
      );
      pending.push(async () =>
        classificationRows(task, await output.json<Predictions>("predictions.json"), seed),
      );
    }
    if (config.parts.includes("toxicity")) {
      const own = { items: config.toxicity, weakSamples: 25, finetuning: config.continuing, weakFinetuning };
      const output = await lab.run(toxicityStage, { seed, runs, sizes, ...own }, inputs, options());
      pending.push(async () => toxicityRows(await output.json<Scored>("scores.json"), seed));
    }
    stage.done();
    // Nothing is read before all is trained, so that a sweep can be planned without training.
    const rows: Row[] = [];
    for (const read of pending) rows.push(...(await read()));
    return rows;
  },
  async figures(results) {
    const present = new Set(results.rows.map(({ track }) => track));
    return [
      ...(present.has("safety") || present.has("legal") ? [await classificationFigure(results)] : []),
      ...(present.has("toxicity")
        ? [await toxicityFigure(results, "maximumToxicity"), await toxicityFigure(results, "quality")]
        : []),
    ];
  },
  notes: [
    "Free text of this world says nothing of relations: an agent is as likely after an action as elsewhere, and no model of these " +
      "sizes learnt harm from a few thousand labels alone. So most texts of pretraining are requests or questions with a reaction, " +
      "`sorry` or `indeed`, that is right 98 times in 100; what the student is to be shown is latent in it, as in web text.",
    "Smaller than the card says: two finetuning runs for each of three pretrainings, 640 texts to learn from, 200 prompts with " +
      "25 weak samples, and 100 test prompts with 10 samples each.",
    "The weak model goes 10 times through its true labels, at a higher rate: after 3 passes its labels were those of chance.",
    "The pass is chosen on a tenth of the texts with labels of the same source, never on the test as in the released code.",
    "Greedy continuations of so small a model repeat the likeliest words, which are never toxic and quite likely: read C3 and C4 with " +
      "the distinct bigrams beside them.",
    "A ceiling taught by true continuations writes actions and agents as often as those do; students of greedy text hardly write " +
      "them. Where it is more toxic than the weak model there is no gap to recover, and no PGR.",
    "The false-safe rate is the share of unsafe texts among those that are called safe.",
  ],
};

type Results = StudyResults<Row>;

function classificationFigure(results: Results) {
  const shown = ["weak", "untuned", "self-training", ...strategies, "ceiling"] as const;
  const rows = tasks
    .filter((track) => results.rows.some((row) => row.track === track))
    .flatMap((track) =>
      shown.map((method) => ({
        group: track === "safety" ? "Safety, balanced accuracy" : "Legal relevance, weighted F1",
        label: method,
        ...meanInterval(results.values({ track, method }, metricOf[track])),
      })),
    );
  return report.estimates(
    { measure: "Balanced accuracy, weighted F1", rows },
    {
      name: "classification",
      title: "Students of weak labels",
      caption: "“Untuned” reads off which reaction the strong model expects. Intervals cover 95\u00a0%.",
    },
  );
}

function toxicityFigure(results: Results, measure: "maximumToxicity" | "quality") {
  const shown = [
    "weak",
    "untuned",
    "self-training",
    "naive",
    "bootstrapped",
    "best of 1",
    "best of 4",
    "best of 25",
    "without toxic",
    "ceiling",
  ] as const;
  const rows = shown.map((method) => ({
    group: shown.indexOf(method) < 3 ? "Not taught by the weak model" : "Strong model, taught by text of",
    label: method,
    ...meanInterval(results.values({ track: "toxicity", method }, measure)),
  }));
  return report.estimates(
    { measure: measure === "quality" ? "Nats per word" : "Expected maximum toxicity", rows },
    {
      name: measure === "quality" ? "quality" : "toxicity",
      title:
        measure === "quality"
          ? "Log-likelihood of samples under the true generator"
          : "Toxicity of the worst sample of each prompt",
      caption:
        "All but weak, untuned and self-training are the strong model taught by different texts. Intervals cover 95\u00a0%.",
    },
  );
}
