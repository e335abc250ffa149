import type { ExperimentContext, StageOutput, Study } from "outgrow";
import { ablations } from "./ablations.js";
import { claims, controls } from "./claims.js";
import { type Config, parts, schema } from "./fields.js";
import { figures } from "./figures.js";
import { preferencesStage } from "./preference-stage.js";
import { rewardsStage } from "./reward-stage.js";
import { type Condition, conditions, type Row, rowOf } from "./rows.js";
import { readScores } from "./stage-scores.js";

const rewardConditions: Condition[] = conditions.filter((condition) => condition !== "explicit, sft");

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
  conditions: ["track", "weak", "condition", "ablation", "payment", "threshold"],
  seeds: 20,
  groups: [],
  items: [],
  parts,
  claims,
  controls,
  quick: {
    sizes: { supervision: 400, transfer: 400, helpfulness: 200, test: 600 },
    languageModels: { supervision: 320, transfer: 320, helpfulness: 320, test: 300 },
  },
  async run(config, context) {
    // Nothing is read before all is trained, so that a sweep can be planned without training.
    const pending: (() => Promise<Row[]>)[] = [];
    if (config.parts.includes("reward models")) pending.push(await rewardModels(config, context));
    for (const track of ["dpo", "simpo"] as const) {
      if (!config.parts.includes(track) || config.seed % config.languageModels.every !== 0) continue;
      pending.push(await languageModels(track, config, context));
    }
    if (config.parts.includes("ablations")) pending.push(await ablations(config, context));
    return (await Promise.all(pending.map((read) => read()))).flat();
  },
  figures,
  notes: [
    "Reward models: replies are vectors rendered from a hidden latent; models of different sizes see projections of different sizes of it. " +
      "Harmlessness and helpfulness are directions with a correlation of -0.3.",
    "Language models (DPO, SimPO): replies of 8 words, each of which does some good or harm, and a few turn the next one round. " +
      "The weak supervisor has learnt 8 of the 21 words and reads the others as one unknown word; its form is the student's. " +
      "They run for every fifth seed (languageModels.every).",
    "The raw score is large between any two students, conflict or none, because weak models leave much unknown: only its excess over the base share, and over another seed, means something.",
    "The filter “right confident labels” is the released code's; it looks at the truth.",
    "Bootstrapping leaves half of the pairs for the student; it is compared with a student that has the same half labelled by the weak supervisor itself.",
    'Ablations of payment, threshold and gap: --set \'parts=["reward models","ablations"]\'.',
  ],
};

async function rewardModels(config: Config, { lab, progress, signal }: ExperimentContext) {
  const { parts: _, languageModels: __, ...own } = config;
  const stage = progress.begin("reward models");
  const outputs: { weak: number; output: StageOutput }[] = [];
  for (const [i, weak] of config.sizes.weak.entries()) {
    const onProgress = (fraction: number, detail?: string) =>
      stage.update((i + fraction) / config.sizes.weak.length, detail);
    const settings = { ...own, weak, conditions: rewardConditions };
    outputs.push({ weak, output: await lab.run(rewardsStage, settings, {}, { signal, onProgress }) });
  }
  stage.done();
  return async () => {
    const { payment } = config.recipe;
    const rows = outputs.map(async ({ weak, output }) =>
      rowsOf(await readScores(output), { track: "reward models", weak, payment }, config),
    );
    return (await Promise.all(rows)).flat();
  };
}

async function languageModels(
  track: "dpo" | "simpo",
  { seed, threshold, languageModels: own, ...config }: Config,
  { lab, progress, signal }: ExperimentContext,
) {
  const stage = progress.begin(`language models, ${track}`);
  const output = await lab.run(
    preferencesStage,
    { seed, threshold, languageModels: { ...own, every: 1 }, track },
    {},
    { signal, onProgress: (fraction, detail) => stage.update(fraction, detail) },
  );
  stage.done();
  return async () =>
    rowsOf(
      await readScores(output),
      { track, weak: own.weak, payment: own.payment },
      { seed, threshold, languageModels: own, ...config },
    );
}

/** The rows of all conditions that were trained. */
const rowsOf = (
  scores: Record<string, Float32Array>,
  about: Pick<Row, "track" | "weak" | "payment">,
  { threshold, seed }: Config,
): Row[] =>
  conditions
    .filter((condition) => scores[condition])
    .map((condition) => rowOf(scores, { ...about, condition, ablation: "", threshold }, seed));
