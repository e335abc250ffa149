/* Claim C7 of the card, on puzzles (track B), and its negative control. */
import type { Claim, StudyResults } from "outgrow";
import type { PuzzleRow } from "./part.js";

type Results = StudyResults<PuzzleRow>;
const NEEDS = ["puzzles"];
const of = (method: PuzzleRow["method"]) => ({ part: "puzzles" as const, method });

export const puzzleClaims: Claim<Results>[] = [
  {
    id: "C7",
    statement:
      "On puzzles, bootstrapping over a model between recovers more of the gap than direct labels do.",
    paper: { value: "bootstrapping helps in chess", source: "section 4.3" },
    needs: NEEDS,
    parts: [
      {
        statistic: "bootstrapped minus direct",
        unit: "PGR on puzzles",
        side: "above",
        values: (results) => results.differences(of("bootstrapped"), of("direct"), "pgr"),
      },
    ],
  },
];

export const puzzleControls: Claim<Results>[] = [
  {
    id: "N4",
    statement:
      "A student of labels that are dealt out to other puzzles learns nothing: it is worse than their supervisor.",
    needs: NEEDS,
    parts: [
      {
        statistic: "student of dealt-out labels minus supervisor",
        unit: "share of best moves",
        side: "below",
        values: (results) =>
          results.values(of("dealt out"), ({ studentAccuracy, weakAccuracy }) =>
            studentAccuracy === null || weakAccuracy === null ? null : studentAccuracy - weakAccuracy,
          ),
      },
    ],
  },
];
