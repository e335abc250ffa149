import type { ExperimentContext, StageOutput } from "outgrow";
import type { Config } from "./fields.js";
import { rewardsStage } from "./reward-stage.js";
import { type Condition, type Row, rowOf } from "./rows.js";
import { readScores } from "./stage-scores.js";

/** As on the card. */
export const payments = [0, 0.25, 0.5, 1];
export const thresholds = [0.6, 0.75, 0.9];
export const gaps = [6, 16, 32];

const varied: Condition[] = ["explicit", "implicit", "other seed"];

/** Reward models with other payments, thresholds of knowing and gaps. Rows are read when all is trained. */
export async function ablations(
  config: Config,
  { lab, progress, signal }: ExperimentContext,
): Promise<() => Promise<Row[]>> {
  const { parts: _, languageModels: __, ...own } = config;
  const stage = progress.begin("ablations");
  const total = payments.length + gaps.length;
  let done = 0;
  const train = async (weak: number, payment: number, conditions: Condition[]) => {
    const recipe = { ...config.recipe, payment };
    const output = await lab.run(rewardsStage, { ...own, recipe, weak, conditions }, {}, { signal });
    stage.update(++done / total, `weak model of ${weak} features, payment ${payment}`);
    return output;
  };
  const [weakest] = config.sizes.weak;
  const pending: (() => Promise<Row[]>)[] = [];
  const measure = (
    output: StageOutput,
    conditions: readonly Condition[],
    about: Pick<Row, "ablation" | "weak" | "payment" | "threshold">,
  ) => {
    pending.push(async () => {
      const scores = await readScores(output);
      return conditions.map((condition) =>
        rowOf(scores, { track: "reward models", condition, ...about }, config.seed),
      );
    });
  };
  const { threshold } = config;
  for (const payment of payments) {
    const output = await train(weakest, payment, ["explicit"]);
    measure(output, ["explicit"], { ablation: "payment", weak: weakest, payment, threshold });
  }
  const { payment } = config.recipe;
  for (const weak of gaps) {
    const output = await train(weak, payment, varied);
    measure(output, varied, { ablation: "gap", weak, payment, threshold });
    if (weak !== gaps[0]) continue;
    for (const each of thresholds) {
      measure(output, varied, { ablation: "threshold", weak, payment, threshold: each });
    }
  }
  stage.done();
  return async () => (await Promise.all(pending.map((read) => read()))).flat();
}
