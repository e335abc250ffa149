/* Claim C8 of the card, on reward models (track C), and its negative control. */
import type { Claim, StudyResults } from "outgrow";
import type { RewardRow } from "./part.js";

type Results = StudyResults<RewardRow>;
const NEEDS = ["reward-models"];
const gaps = ["MLP 8", "MLP 20"];
const of = (weak: string, method: RewardRow["method"]) => ({
  part: "reward-models" as const,
  mode: "linear-probe" as const,
  weak,
  method,
});

export const rewardClaims: Claim<Results>[] = [
  {
    id: "C8",
    statement: "Generative finetuning lets a reward model recover more of the gap.",
    paper: { value: "no figure seen", source: "card" },
    needs: NEEDS,
    parts: gaps.map((weak) => ({
      statistic: `generative finetuning (student and ceiling) minus none, ${weak} → MLP 256`,
      unit: "PGR of reward models",
      side: "above",
      values: (results: Results) =>
        results.differences(of(weak, "generative finetuning"), of(weak, "naive"), "pgr"),
    })),
  },
];

export const rewardControls: Claim<Results>[] = [
  {
    id: "N3",
    statement: "Generative finetuning on the targets of other items brings a reward model nothing.",
    needs: NEEDS,
    parts: gaps.map((weak) => ({
      statistic: `dealt-out targets minus none, ${weak} → MLP 256 (gain of less than 0.05)`,
      unit: "PGR of reward models",
      side: "below",
      threshold: 0.05,
      values: (results: Results) =>
        results.differences(of(weak, "dealt-out targets"), of(weak, "naive"), "pgrPlainCeiling"),
    })),
  },
];
