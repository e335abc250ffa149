import {
  type ExperimentContext,
  meanInterval,
  type ResultRow,
  report,
  type StageOutput,
  type StudyResults,
} from "outgrow";
import { z } from "zod";
import { compare } from "../compare.js";
import { count, distinct } from "../fields.js";
import { rungName } from "../ladder.js";
import { type Mode, modes, readPredictions } from "../stages.js";
import { pretrainedRung, type StudyConfig } from "../study.js";
import { generativeStage, rewardFromTruthStage, rewardFromWeakStage } from "./stages.js";

/** Track C. Defaults are the card's, but for the sizes and the rate, of which it says nothing. */
export const rewardModelsSchema = z.strictObject({
  /** Pairs with truth for the weak model, for the student, and for tests. */
  supervisionPairs: count.default(4000),
  transferPairs: count.default(4000),
  testPairs: count.default(4000),
  modes: distinct(z.enum(modes), "mode").default([...modes]),
  /** Passes over the items of the student's pairs. */
  generativeEpochs: count.default(2),
  /** Highest rate of generative finetuning: a third of pretraining's, so that it begins where that has ended. */
  generativeRate: z.number().positive().default(1e-3),
});
export type RewardModelsConfig = z.output<typeof rewardModelsSchema>;

/** A student that is a reward model. */
export type RewardRow = ResultRow & {
  part: "reward-models";
  world: number;
  task: number;
  mode: Mode;
  weak: string;
  student: string;
  /** Whether the student's model, and the ceiling's, was generatively finetuned before; `dealt-out targets` is the control. */
  method: "naive" | "generative finetuning" | "dealt-out targets";
  /** Shares of test pairs whose better item is preferred. */
  weakAccuracy: number;
  studentAccuracy: number;
  /** Of the ceiling from the same model as the student. */
  ceilingAccuracy: number | null;
  pgr: number | null;
  agreement: number | null;
  agreementWhenWeakRight: number | null;
  agreementWhenWeakWrong: number | null;
  /** PGR with the ceiling that was not generatively finetuned. */
  pgrPlainCeiling: number | null;
};

/** Reward models of one seed: every weak one's preferences train the strongest, with and without generative finetuning. */
export async function runRewardModels(
  { seed, ladder, world, rewardModels }: StudyConfig & { rewardModels: RewardModelsConfig },
  { lab, progress, signal, seedsTogether }: ExperimentContext,
): Promise<RewardRow[]> {
  const { supervisionPairs, transferPairs, testPairs, generativeEpochs, generativeRate } = rewardModels;
  const ofWorld = { seed, index: 0, world };
  const ofPairs = { ...ofWorld, supervisionPairs, transferPairs, testPairs };
  const stage = progress.begin("reward models", 10);
  const pretrained = [];
  for (const rung of ladder) {
    pretrained.push(await pretrainedRung(lab, { ...ofWorld, rung }, seedsTogether, { signal }));
    stage.update(pretrained.length / (2 * ladder.length), rungName(rung.width));
  }
  const strong = pretrained[ladder.length - 1];
  const generative = (targets: "own" | "dealt-out") =>
    lab.run(
      generativeStage,
      { ...ofPairs, epochs: generativeEpochs, learningRate: generativeRate, targets },
      { backbone: strong },
      { signal },
    );
  const students = [
    { method: "naive", backbone: strong },
    { method: "generative finetuning", backbone: await generative("own") },
    { method: "dealt-out targets", backbone: await generative("dealt-out") },
  ] as const;

  const pending: (() => Promise<RewardRow>)[] = [];
  for (const [m, mode] of rewardModels.modes.entries()) {
    const config = { ...ofPairs, mode };
    const ceilings: StageOutput[] = [];
    for (const { backbone } of students) {
      const given = { ...config, pairs: "transfer" as const };
      ceilings.push(await lab.run(rewardFromTruthStage, given, { backbone }, { signal }));
    }
    for (const [i, rung] of ladder.slice(0, -1).entries()) {
      const own = { ...config, pairs: "supervision" as const };
      const supervisor = await lab.run(rewardFromTruthStage, own, { backbone: pretrained[i] }, { signal });
      for (const [s, { method, backbone }] of students.entries()) {
        const output = await lab.run(rewardFromWeakStage, config, { backbone, supervisor }, { signal });
        pending.push(async () => {
          const [plain, ceiling, weak, student] = [
            await readPredictions(ceilings[0]),
            await readPredictions(ceilings[s]),
            await readPredictions(supervisor),
            await readPredictions(output),
          ];
          const truth = ceiling.truth as Int32Array;
          const predictions = { weak: weak.test, student: student.test };
          const { agreement, ...measured } = compare(truth, { ...predictions, ceiling: ceiling.test });
          return {
            part: "reward-models",
            world: 0,
            task: 0,
            mode,
            weak: rungName(rung.width),
            student: rungName(ladder[ladder.length - 1].width),
            method,
            weakAccuracy: measured.weakAccuracy,
            studentAccuracy: measured.studentAccuracy,
            ceilingAccuracy: measured.ceilingAccuracy,
            pgr: measured.pgr,
            agreement: agreement.overall,
            agreementWhenWeakRight: agreement.whenWeakRight,
            agreementWhenWeakWrong: agreement.whenWeakWrong,
            pgrPlainCeiling: compare(truth, { ...predictions, ceiling: plain.test }).pgr,
          };
        });
      }
      stage.update(0.5 + (m + (i + 1) / (ladder.length - 1)) / (2 * rewardModels.modes.length), mode);
    }
  }
  stage.done();
  const rows: RewardRow[] = [];
  for (const read of pending) rows.push(await read());
  return rows;
}

/** Ceilings and students with and without generative finetuning. */
export function rewardFigure(results: StudyResults<RewardRow>) {
  const { rows: all } = results;
  const rows = [...new Set(all.map(({ mode }) => mode))].flatMap((mode) =>
    [...new Set(all.map(({ weak }) => weak))].flatMap((weak) =>
      (["naive", "generative finetuning", "dealt-out targets"] as const).map((method) => ({
        group: `${weak} → ${all[0].student}, ${mode}`,
        label: method,
        ...meanInterval(results.values({ mode, weak, method }, "pgr")),
      })),
    ),
  );
  return report.estimates(
    { measure: "Performance gap recovered", rows },
    {
      name: "reward-models",
      title: "Reward models with and without generative finetuning",
      caption:
        "Student and ceiling start from the same model. “Dealt-out targets”: finetuned on the targets of other items, the control. Intervals cover 95\u00a0%.",
    },
  );
}
