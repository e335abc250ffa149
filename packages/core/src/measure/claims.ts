import { createRandom } from "../random.js";
import { bootstrap, type Groups, type Interval, type Verdict, verdict } from "./bootstrap.js";
import { studentCdf, studentQuantile } from "./distributions.js";

/** A number that a claim speaks of. */
export interface ClaimPart<Results> {
  /** What the number is, e.g. `naive student minus weak supervisor, MLP 8 → MLP 256`. */
  statistic: string;
  /** e.g. `accuracy`, `PGR`: parts of one unit share an axis. */
  unit: string;
  /** One value for each item, in the groups that are drawn first: seeds or worlds. null: undefined there. */
  values(results: Results): Groups;
  /** What is claimed of the mean. `within`: it lies between -threshold and threshold, so that nothing of note is there. */
  side: "above" | "below" | "within";
  /** Default 0. "Not worse by more than m" is: above -m. */
  threshold?: number;
}

/** A statement of a paper, or a negative control, as one or several numbers that must all be as claimed. */
export interface Claim<Results> {
  /** As on the system's card, e.g. `C1`; controls have `N1`, ... */
  id: string;
  /** For people, one sentence. */
  statement: string;
  parts: readonly ClaimPart<Results>[];
  /** What the paper or its code says, and where. */
  paper?: { value: string; source: string };
  /** Parts of the study that must run for this claim, where the study can run in parts. */
  needs?: readonly string[];
}

export interface PartResult extends Interval {
  statistic: string;
  unit: string;
  side: "above" | "below" | "within";
  threshold: number;
  verdict: Verdict;
  /** One-sided: of what is seen, or more of it, if the truth were at the threshold. Null where nothing can be said. */
  p: number | null;
}

export interface ClaimResult {
  id: string;
  statement: string;
  paper?: { value: string; source: string };
  /** `holds` where it does for all parts; `refuted` where one is. */
  verdict: Verdict;
  parts: PartResult[];
  /** The largest of its parts' p: all must hold (Berger 1982). */
  p: number | null;
  /** Whether it holds with all claims that were judged together in mind, at 2.5 % one-sided (Holm 1979). */
  holdsCorrected: boolean;
}

const LEVEL = 0.95;
const RESAMPLES = 4000;

/**
 * Judges claims by 95 % intervals: the hierarchical bootstrap's standard error times Student's t, so that few seeds do not
 * look like many. Each claim is judged by itself; `holdsCorrected` says what is left when all are judged at once.
 */
export function judgeClaims<Results>(claims: readonly Claim<Results>[], results: Results): ClaimResult[] {
  const judged = claims.map((claim): Omit<ClaimResult, "holdsCorrected"> => {
    const parts = claim.parts.map((part) => judgePart(claim.id, part, results));
    const verdicts = parts.map((part) => part.verdict);
    const ps = parts.map(({ p }) => p);
    return {
      id: claim.id,
      statement: claim.statement,
      paper: claim.paper,
      verdict: verdicts.includes("refuted")
        ? "refuted"
        : verdicts.every((each) => each === "holds")
          ? "holds"
          : "undecided",
      parts,
      p: ps.includes(null) ? null : Math.max(...(ps as number[])),
    };
  });
  const adjusted = holm(judged.map(({ p }) => p ?? 1));
  return judged.map((claim, i) => ({
    ...claim,
    holdsCorrected: claim.verdict === "holds" && adjusted[i] <= (1 - LEVEL) / 2,
  }));
}

function judgePart<Results>(id: string, part: ClaimPart<Results>, results: Results): PartResult {
  const { statistic, unit, side, threshold = 0 } = part;
  const random = createRandom("claims").stream(id, statistic);
  const { distribution, standardError, draws, ...found } = bootstrap(part.values(results), {
    random,
    resamples: RESAMPLES,
  });
  const described = { statistic, unit, side, threshold, ...found };
  if (!distribution || found.mean === null) {
    return { ...described, low: null, high: null, verdict: "undecided", p: null };
  }
  const half = standardError * studentQuantile((1 + LEVEL) / 2, draws - 1);
  const interval = { low: found.mean - half, high: found.mean + half };
  const beyond = (distance: number) =>
    // Where all values are equal there is no doubt but at the threshold itself.
    standardError === 0 ? Number(distance <= 0) : studentCdf(-distance / standardError, draws - 1);
  const [above, below] = [found.mean - threshold, threshold - found.mean];
  const p =
    side === "above"
      ? beyond(above)
      : side === "below"
        ? beyond(below)
        : Math.max(beyond(below), beyond(found.mean + threshold));
  return { ...described, ...interval, verdict: verdict(interval, side, threshold), p };
}

/** Adjusted p-values by Holm's step-down method (Holm 1979): they hold for all statements together. */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((a, b) => ps[a] - ps[b]);
  const adjusted = new Array<number>(ps.length);
  let largest = 0;
  order.forEach((index, rank) => {
    largest = Math.max(largest, Math.min(1, (ps.length - rank) * ps[index]));
    adjusted[index] = largest;
  });
  return adjusted;
}
