/*
 * Expansion as students show it, class by class, and what the bounds make of it (Lang, Sontag and Vijayaraghavan 2024, sections 4
 * to 6, appendix B).
 */
import {
  correctionBound,
  coverageBound,
  expansionUncertainty,
  leastExpansion,
  type Measured,
  measureRowExpansion,
  simpleCorrectionBound,
  UserError,
  weakCoverageBound,
} from "outgrow";
import { ABSTAIN } from "./method.js";

/** For each row a row of the same class on another side that it is a neighbour of, -1 for none. */
export interface Neighbours {
  /** Of rows with a wrong weak label: one whose weak label is right. */
  badToGood?: ArrayLike<number>;
  /** Of rows with a right weak label: one without a weak label. */
  goodToUncovered?: ArrayLike<number>;
  /** Of rows with a wrong weak label: one without a weak label. */
  badToUncovered?: ArrayLike<number>;
}

export interface ExpansionProblem {
  /** `[rows]`: true classes from 0; -1 where unknown, and such rows are left out. */
  truth: ArrayLike<number>;
  /** `[rows]`: classes from 0, or `abstain`. */
  weakLabels: ArrayLike<number>;
  classes: number;
  /** Default -1. */
  abstain?: number;
  /** What each student says of all rows: `[students][rows]`. */
  predictions: readonly ArrayLike<number>[];
  neighbours: Neighbours;
  /** How many rows are a sample of the population. Those after them, e.g. paraphrases, are only neighbours. Default: all. */
  sampled?: number;
  /** For each sampled row some of its neighbours, wherever they are: for how fragile students are. `[sampled, many]` */
  nearby?: { rows: ArrayLike<number>; many: number };
  /** A student is fragile on a row if it labels more than this share of the row's neighbours otherwise. Default 0.25. */
  fragileFrom?: number;
  /** Sets below this share of their side need not expand. Default 0.1. */
  smallest?: number;
  /** VC dimension of the sets: for linear students of two classes the columns plus 1. For the guarantee. */
  dimension?: number;
  /** Names of the rows, for errors. */
  ids?: readonly string[];
}

/** Mean over the students, and the largest. Shares of a class's covered or uncovered rows. */
export interface Spread {
  mean: number;
  worst: number;
}

/** What is measured of one class, on sampled rows. Where a side is empty its numbers are null with the reason. */
export interface ClassExpansion {
  class: number;
  counts: { good: number; bad: number; uncovered: number };
  /** alpha: the share of covered rows whose weak label is wrong. */
  weakError: Measured;
  covered: { error: Spread; disagreement: Spread; fragile: Spread | null } | null;
  uncovered: { error: Spread; fragile: Spread | null } | null;
  /** The least over the students; above 1 by chance alone. */
  expansion: { badToGood: Measured; goodToUncovered: Measured; badToUncovered: Measured };
  /** By how much each may be off with probability 0.95, over all linear students (theorem D.1). */
  uncertainty: Record<keyof Neighbours, Measured>;
  /** Upper bounds on the worst student's error. With `fragile`: with the term that the paper's tables leave out. */
  bounds: {
    correction: Measured;
    correctionFragile: Measured;
    simpleCorrection: Measured;
    coverage: Measured;
    coverageFragile: Measured;
    weakCoverage: Measured;
    /** Disagreement with the weak labels plus their error: the triangle inequality. */
    triangle: Measured;
  };
}

const DELTA = 0.05;
const FRAGILE_FROM = 0.25;
const SMALLEST = 0.1;

/**
 * Measures every class. `badToGood` is taken of what a student has right among well labelled rows, `goodToUncovered` of its mistakes
 * among uncovered rows, `badToUncovered` of what it has right there.
 *
 * @throws UserError for columns of other lengths, no students, and a neighbour that is not where it should be, with its row
 */
export function measureExpansions(problem: ExpansionProblem): ClassExpansion[] {
  const { truth, classes, predictions, abstain = ABSTAIN } = problem;
  const rows = truth.length;
  if (predictions.length === 0) throw new UserError("expansion is measured of students, there are none");
  const columns = { "weak labels": problem.weakLabels, ...problem.neighbours };
  for (const [name, column] of [
    ...Object.entries(columns),
    ...predictions.map((each, i) => [`predictions of student ${i + 1}`, each] as const),
  ]) {
    if (column && column.length !== rows) {
      throw new UserError(`${name} are of ${column.length} rows, the true classes of ${rows}`);
    }
  }
  if (abstain >= 0 && abstain < classes) {
    throw new UserError(`the code for abstaining is ${abstain}, which is one of the ${classes} classes`);
  }
  return Array.from({ length: classes }, (_, k) => measureClass(problem, k, abstain));
}

type Side = "good" | "bad" | "uncovered";

function measureClass(problem: ExpansionProblem, k: number, abstain: number): ClassExpansion {
  const { truth, weakLabels, predictions, neighbours, smallest = SMALLEST, dimension, ids } = problem;
  const sideOf = (row: number): Side | undefined => {
    if (truth[row] !== k) return undefined;
    if (weakLabels[row] === abstain) return "uncovered";
    return weakLabels[row] === k ? "good" : "bad";
  };
  const sides: Record<Side, number[]> = { good: [], bad: [], uncovered: [] };
  for (let row = 0; row < (problem.sampled ?? truth.length); row++) {
    const side = sideOf(row);
    if (side) sides[side].push(row);
  }
  const { good, bad, uncovered } = sides;
  const covered = [...good, ...bad];
  const share = (rows: readonly number[], is: (row: number) => boolean) =>
    rows.filter(is).length / rows.length;
  const spread = (rows: readonly number[], is: (row: number, predicted: ArrayLike<number>) => boolean) =>
    spreadOf(predictions.map((predicted) => share(rows, (row) => is(row, predicted))));
  const wrong = (row: number, predicted: ArrayLike<number>) => predicted[row] !== k;
  const fragile = problem.nearby && fragility(problem);
  const fragileOf = (rows: readonly number[]) => (fragile ? spread(rows, fragile) : null);

  const weakError: Measured =
    covered.length > 0
      ? { value: bad.length / covered.length }
      : { value: null, reason: `no row of class ${k} has a weak label` };
  const onCovered =
    covered.length > 0
      ? {
          error: spread(covered, wrong),
          disagreement: spread(covered, (row, predicted) => predicted[row] !== weakLabels[row]),
          fragile: fragileOf(covered),
        }
      : null;
  const onUncovered =
    uncovered.length > 0 ? { error: spread(uncovered, wrong), fragile: fragileOf(uncovered) } : null;

  const right = predictions.map((predicted) => membersOf(predicted, (label) => label === k));
  const mistakes = predictions.map((predicted) => membersOf(predicted, (label) => label !== k));
  const expansion = (name: keyof Neighbours, from: Side, to: Side, sets: readonly Uint8Array[]): Measured => {
    const found = neighbours[name];
    if (!found) return { value: null, reason: "no neighbours were given" };
    return leastExpansion(
      sets.map((members, student) =>
        measureRowExpansion({
          sources: sides[from],
          targets: sides[to],
          neighbours: found,
          members,
          predictions: predictions[student],
          isTarget: (row) => sideOf(row) === to,
          smallest,
          ids,
        }),
      ),
    );
  };
  const expansions = {
    badToGood: expansion("badToGood", "bad", "good", right),
    goodToUncovered: expansion("goodToUncovered", "good", "uncovered", mistakes),
    badToUncovered: expansion("badToUncovered", "bad", "uncovered", right),
  };
  const uncertainty = (from: Side, to: Side): Measured => {
    const [sources, targets] = [sides[from].length, sides[to].length];
    if (dimension === undefined) return { value: null, reason: "the VC dimension was not given" };
    if (sources === 0 || targets === 0) return { value: null, reason: "a side is empty" };
    return { value: expansionUncertainty({ sources, targets, smallest, dimension, delta: DELTA }) };
  };

  const bound = (
    needs: readonly Measured[],
    compute: (values: number[], inputs: { weakError: number; disagreement: number }) => Measured,
  ): Measured => {
    if (weakError.value === null || !onCovered) return weakError;
    const missing = needs.find(({ value }) => value === null);
    if (missing) return missing;
    return compute(
      needs.map(({ value }) => value as number),
      { weakError: weakError.value, disagreement: onCovered.disagreement.worst },
    );
  };
  const { badToGood, goodToUncovered, badToUncovered } = expansions;
  const unknown: Measured = { value: null, reason: "no nearby rows were given" };
  const noUncovered: Measured = { value: null, reason: `all rows of class ${k} have a weak label` };
  const [fragileCovered, fragileUncovered] = [onCovered?.fragile?.worst, onUncovered?.fragile?.worst];
  return {
    class: k,
    counts: { good: good.length, bad: bad.length, uncovered: uncovered.length },
    weakError,
    covered: onCovered,
    uncovered: onUncovered,
    expansion: expansions,
    uncertainty: {
      badToGood: uncertainty("bad", "good"),
      goodToUncovered: uncertainty("good", "uncovered"),
      badToUncovered: uncertainty("bad", "uncovered"),
    },
    bounds: {
      correction: bound([badToGood], ([c], inputs) => correctionBound(c, { ...inputs, smallest })),
      correctionFragile: bound([badToGood], ([c], inputs) =>
        fragileCovered === undefined ? unknown : correctionBound(c, { ...inputs, smallest, fragileCovered }),
      ),
      simpleCorrection: bound([badToGood], ([c], inputs) =>
        simpleCorrectionBound(c, { ...inputs, smallest }),
      ),
      ...(onUncovered
        ? {
            coverage: bound([goodToUncovered, badToUncovered], ([c1, c2], inputs) =>
              coverageBound(c1, c2, { ...inputs, smallest }),
            ),
            coverageFragile: bound([goodToUncovered, badToUncovered], ([c1, c2], inputs) =>
              fragileUncovered === undefined
                ? unknown
                : coverageBound(c1, c2, { ...inputs, smallest, fragileUncovered }),
            ),
            weakCoverage: bound([goodToUncovered], ([c], inputs) =>
              weakCoverageBound(c, { ...inputs, smallest }),
            ),
          }
        : { coverage: noUncovered, coverageFragile: noUncovered, weakCoverage: noUncovered }),
      triangle: bound([], (_, inputs) => ({ value: inputs.disagreement + inputs.weakError })),
    },
  };
}

function membersOf(predicted: ArrayLike<number>, is: (label: number) => boolean): Uint8Array {
  const members = new Uint8Array(predicted.length);
  for (let row = 0; row < members.length; row++) members[row] = Number(is(predicted[row]));
  return members;
}

const spreadOf = (values: readonly number[]): Spread => ({
  mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  worst: Math.max(...values),
});

function fragility({ nearby, fragileFrom = FRAGILE_FROM, truth, sampled = truth.length }: ExpansionProblem) {
  const { rows, many } = nearby ?? { rows: [], many: 0 };
  if (rows.length !== sampled * many) {
    throw new UserError(`${rows.length} nearby rows, expected ${many} for each of ${sampled} rows`);
  }
  return (row: number, predicted: ArrayLike<number>) => {
    let others = 0;
    for (let j = 0; j < many; j++) others += Number(predicted[rows[row * many + j]] !== predicted[row]);
    return others > fragileFrom * many;
  };
}
