/* What the expansion of weak labels foretells of a student, class by class (Lang, Sontag and Vijayaraghavan 2024). */
import { UserError } from "../errors.js";
import { correctionBound, coverageBound, type ExpansionInputs, measureExpansion } from "./expansion.js";
import { type Measured, sameLength } from "./measured.js";

/** Who is whose neighbour: rows that are named, or points of which the nearest are. */
export type Neighbours =
  | {
      kind: "named";
      /** `[n]`: rows that are neighbours of each, e.g. its paraphrases. */
      rows: readonly (readonly number[])[];
    }
  | {
      kind: "nearest";
      /** `[n, d]`, in similar scales. */
      points: Float32Array;
      width: number;
    };

export interface ExpansionAuditInput {
  /** `[n]` each: classes; -1 where the weak supervisor abstains and where the truth is unknown. */
  weak: Int32Array;
  student: Int32Array;
  truth: Int32Array;
  classes: number;
  neighbours: Neighbours;
  /** Sets smaller than this share of their side are not counted. Default 0.1. */
  smallest?: number;
}

/** An expansion c of one set, and what it was measured on. */
export interface MeasuredExpansion {
  value: Measured;
  /** Rows that neighbours were looked for of, those of them that have one, and rows that they were looked for among. */
  sources: number;
  found: number;
  targets: number;
}

export interface ClassExpansion {
  class: number;
  covered: number;
  uncovered: number;
  /** alpha: share of covered rows whose weak label is wrong. */
  weakError: Measured;
  /** Share of covered rows on which student and weak label differ. */
  disagreement: Measured;
  /** From what the student has right among well labelled rows to badly labelled ones. */
  correction: MeasuredExpansion;
  /** From the student's mistakes among uncovered rows to well labelled ones (c1), from what it has right there to badly labelled ones (c2). */
  coverage: { toGood: MeasuredExpansion; toBad: MeasuredExpansion };
  /** Share of rows whose neighbour the student labels otherwise, among covered and among uncovered ones. */
  fragile: { covered: Measured; uncovered: Measured };
  /** The student's error on covered rows: bound B.1, without and with fragile rows, and as it is. */
  correctionBound: { plain: Measured; withFragile: Measured };
  coveredError: Measured;
  /** The same on uncovered rows, by B.2. */
  coverageBound: { plain: Measured; withFragile: Measured };
  uncoveredError: Measured;
  /** Whether the bound is below the weak labels' error; null where there is no bound, or one below 0. */
  isCorrectionForetold: boolean | null;
  /** Whether the bound is below the error of guessing. */
  isCoverageForetold: boolean | null;
}

/** Of more rows, as many evenly spread ones stand for all. */
const MOST_SOURCES = 1000;

/**
 * For each class the error of the weak labels, the expansion measured on the sets of this one student, the bounds of theorems B.1
 * and B.2 and what the truth says. Measured expansion is from above: the theorems ask for the least over all sets of a family, so that
 * a bound with it can be too low. It depends on what counts as a neighbour.
 *
 * @throws UserError for columns of other lengths and neighbours that are no rows
 */
export function expansionAudit(input: ExpansionAuditInput): ClassExpansion[] {
  const { weak, student, truth, classes, neighbours, smallest = 0.1 } = input;
  const count = sameLength({
    weak,
    student,
    truth,
    neighbours:
      neighbours.kind === "named" ? neighbours.rows : { length: neighbours.points.length / neighbours.width },
  });
  if (neighbours.kind === "named") {
    neighbours.rows.forEach((named, i) => {
      for (const row of named) {
        if (Number.isInteger(row) && row >= 0 && row < count) continue;
        throw new UserError(
          `the neighbour of row ${i} (counted from 0) is row ${row}, expected 0 to ${count - 1}`,
        );
      }
    });
  }
  const all = [...Array(count).keys()];
  return Array.from({ length: classes }, (_, k): ClassExpansion => {
    const own = all.filter((i) => truth[i] === k);
    const covered = own.filter((i) => weak[i] >= 0);
    const uncovered = own.filter((i) => weak[i] < 0);
    const good = covered.filter((i) => weak[i] === k);
    const bad = covered.filter((i) => weak[i] !== k);
    const expansion = (sources: number[], targets: number[], isMember: (row: number) => boolean) =>
      measured(neighbours, { sources, targets, isMember, smallest });
    const isRight = (i: number) => student[i] === k;
    const correction = expansion(bad, good, isRight);
    const toGood = expansion(good, uncovered, (i) => !isRight(i));
    const toBad = expansion(bad, uncovered, isRight);
    const none = "no row of the class has a weak label";
    const noneLeft = "no row of the class is without a weak label";
    const weakError = share(covered, (i) => weak[i] !== k, none);
    const disagreement = share(covered, (i) => student[i] !== weak[i], none);
    const fragile = {
      covered: fragility(neighbours, covered, student),
      uncovered: fragility(neighbours, uncovered, student),
    };
    const bounded = (
      expansions: Measured[],
      rows: Measured | undefined,
      bound: (values: number[], inputs: ExpansionInputs) => Measured,
    ): Measured => {
      const missing = [weakError, disagreement, ...expansions, ...(rows ? [rows] : [])].find(
        ({ value }) => value === null,
      );
      if (missing) return missing;
      const fragileShare = rows?.value ?? 0;
      return bound(
        expansions.map(({ value }) => value as number),
        {
          weakError: weakError.value as number,
          disagreement: disagreement.value as number,
          fragileCovered: fragileShare,
          fragileUncovered: fragileShare,
          smallest,
        },
      );
    };
    const b1 = (rows?: Measured) =>
      bounded([correction.value], rows, ([c], inputs) => correctionBound(c, inputs));
    const b2 = (rows?: Measured) =>
      uncovered.length === 0
        ? { value: null, reason: noneLeft }
        : bounded([toGood.value, toBad.value], rows, ([c1, c2], inputs) => coverageBound(c1, c2, inputs));
    const [onCovered, onUncovered] = [b1(), b2()];
    return {
      class: k,
      covered: covered.length,
      uncovered: uncovered.length,
      weakError,
      disagreement,
      correction,
      coverage: { toGood, toBad },
      fragile,
      correctionBound: { plain: onCovered, withFragile: b1(fragile.covered) },
      coveredError: share(covered, (i) => !isRight(i), none),
      coverageBound: { plain: onUncovered, withFragile: b2(fragile.uncovered) },
      uncoveredError: share(uncovered, (i) => !isRight(i), noneLeft),
      isCorrectionForetold: foretold(onCovered, weakError.value as number),
      isCoverageForetold: foretold(onUncovered, 1 - 1 / classes),
    };
  });
}

/** No error is below 0, so that a bound below it shows that what it assumes is not so, e.g. for a student that copies its labels. */
const foretold = ({ value }: Measured, threshold: number): boolean | null =>
  value === null || value < -ROUNDING ? null : value < threshold;

const ROUNDING = 1e-9;

function share(rows: readonly number[], is: (row: number) => boolean, reason: string): Measured {
  return rows.length === 0 ? { value: null, reason } : { value: rows.filter(is).length / rows.length };
}

function measured(
  neighbours: Neighbours,
  set: { sources: number[]; targets: number[]; isMember: (row: number) => boolean; smallest: number },
): MeasuredExpansion {
  const { targets, isMember, smallest } = set;
  const sources = spread(set.sources);
  const found = neighboursAmong(neighbours, sources, targets).filter((at) => at >= 0);
  const value: Measured =
    sources.length > 0 && targets.length > 0 && found.length === 0
      ? { value: null, reason: "no row has a neighbour on the other side" }
      : measureExpansion({ neighbours: found, members: targets.map(isMember), smallest });
  return { value, sources: sources.length, found: found.length, targets: targets.length };
}

/** For each source the position among the targets of a neighbour there, -1 where it has none. */
function neighboursAmong(
  neighbours: Neighbours,
  sources: readonly number[],
  targets: readonly number[],
): number[] {
  if (neighbours.kind === "named") {
    const positions = new Map(targets.map((row, at) => [row, at]));
    return sources.map(
      (row) => neighbours.rows[row].map((named) => positions.get(named)).find((at) => at !== undefined) ?? -1,
    );
  }
  const { points, width } = neighbours;
  return sources.map((source) => {
    let [best, least] = [-1, Number.POSITIVE_INFINITY];
    targets.forEach((target, at) => {
      if (target === source) return;
      let squared = 0;
      for (let j = 0; j < width && squared < least; j++) {
        squared += (points[source * width + j] - points[target * width + j]) ** 2;
      }
      if (squared < least) [best, least] = [at, squared];
    });
    return best;
  });
}

/** Share of rows whose neighbour, wherever it is, the student labels otherwise. */
function fragility(neighbours: Neighbours, rows: readonly number[], student: Int32Array): Measured {
  const sources = spread(rows);
  const all = [...student.keys()];
  const pairs = neighboursAmong(neighbours, sources, all).flatMap((at, i) =>
    at < 0 ? [] : [[sources[i], at]],
  );
  return share(
    pairs.map((_, i) => i),
    (i) => student[pairs[i][0]] !== student[pairs[i][1]],
    "no row has a neighbour",
  );
}

const spread = (rows: readonly number[]): readonly number[] =>
  rows.length <= MOST_SOURCES
    ? rows
    : Array.from({ length: MOST_SOURCES }, (_, i) => rows[Math.floor((i * rows.length) / MOST_SOURCES)]);
