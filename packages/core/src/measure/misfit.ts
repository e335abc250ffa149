import { UserError } from "../errors.js";
import { studentQuantile } from "./distributions.js";
import { type Measured, sameLength } from "./measured.js";

/**
 * How far two outputs are apart, as an error of the left one: `squared` is the sum of squared differences; `kl` is KL(left || right)
 * and `reverse kl` is KL(right || left), both of probabilities.
 */
export type MisfitLoss = "squared" | "kl" | "reverse kl";

export interface MisfitInput {
  /** Weak labels and what their student says of the same held-out examples: `[n, width]` each, row by row. */
  weak: ArrayLike<number>;
  student: ArrayLike<number>;
  /** Alike; `null` throughout the rows where it is unknown. */
  truth?: ArrayLike<number | null>;
  /** Numbers for each example, e.g. one for each class. Default 1. */
  width?: number;
  /** Default squared. */
  loss?: MisfitLoss;
}

/** What a student gains over its supervisor by theory, and where the truth is known by measure. */
export interface MisfitGain {
  examples: number;
  /** Of them with truth. */
  known: number;
  /** Mean distance of student and weak labels, over all examples: the gain that theory predicts. */
  misfit: number;
  /** Mean error of the weak labels, where the truth is known. */
  weakError: Measured;
  /**
   * `weakError - misfit`: the student's error where it is the projection of the weak labels on a class that the truth lies in; for a
   * convex class that does, an upper bound. Below 0, such a class is impossible.
   */
  predictedError: Measured;
  studentError: Measured;
  /** `weakError - studentError`. */
  gain: Measured;
  /**
   * Gain minus misfit on the examples with truth, with its standard error: not below 0 where the bound holds. With squared error it
   * is `2 E (weak - student)(student - truth)`.
   */
  excess: Measured & { standardError?: number };
  /** Probabilities that were 0 and taken as 1e-12. */
  clipped: number;
}

const LEAST_PROBABILITY = 1e-12;

/**
 * The gain that misfit predicts. Squared error: Charikar et al. 2024, theorem 1. `kl` is right for students by cross-entropy with
 * softmax-linear heads, and a truth inside their family, `reverse kl` for students by KL(student || weak) over mixtures
 * (Mulgund and Pabbaraju 2025).
 *
 * Measure on examples that the student was not trained on: on its own the misfit is too small by about the share of weights in examples.
 *
 * @throws UserError for no examples, columns of other lengths, values that are not finite (with the row), and with KL values outside [0, 1]
 */
export function misfitGain({ weak, student, truth, width = 1, loss = "squared" }: MisfitInput): MisfitGain {
  sameLength({ weak, student, ...(truth ? { truth } : {}) });
  const examples = weak.length / width;
  if (examples === 0) throw new UserError("there are no examples to measure misfit on");
  if (!Number.isInteger(examples)) {
    throw new UserError(`${weak.length} values are not whole rows of ${width}`);
  }
  const known = knownRows(truth, examples, width);
  checkValues({ weak, student, ...(truth ? { truth } : {}) }, width, loss);
  let clipped = 0;
  const positive = (p: number) => {
    if (p >= LEAST_PROBABILITY) return p;
    clipped++;
    return LEAST_PROBABILITY;
  };
  const kl = (p: number, q: number) => (p === 0 ? 0 : p * Math.log(p / positive(q)));
  const distance = (left: ArrayLike<number>, right: ArrayLike<number>, row: number) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      if (loss === "squared") sum += (left[i] - right[i]) ** 2;
      else sum += loss === "kl" ? kl(left[i], right[i]) : kl(right[i], left[i]);
    }
    return sum;
  };
  const misfits = Array.from({ length: examples }, (_, row) => distance(weak, student, row));
  const misfit = mean(misfits);
  if (!truth || known.length === 0) {
    const unknown: Measured = { value: null, reason: "no truth is known" };
    const rest = { weakError: unknown, predictedError: unknown, studentError: unknown };
    return { examples, known: 0, misfit, ...rest, gain: unknown, excess: unknown, clipped };
  }
  const right = truth as ArrayLike<number>;
  const weakErrors = known.map((row) => distance(weak, right, row));
  const studentErrors = known.map((row) => distance(student, right, row));
  const excesses = known.map((row, i) => weakErrors[i] - studentErrors[i] - misfits[row]);
  const [weakError, studentError] = [mean(weakErrors), mean(studentErrors)];
  return {
    examples,
    known: known.length,
    misfit,
    weakError: { value: weakError },
    predictedError: { value: weakError - misfit },
    studentError: { value: studentError },
    gain: { value: weakError - studentError },
    excess: { value: mean(excesses), ...(known.length > 1 && { standardError: standardError(excesses) }) },
    clipped,
  };
}

/** A weak supervisor and the student that learned from its labels, on the same examples as all others. */
export interface SupervisorCandidate {
  name: string;
  weak: ArrayLike<number>;
  student: ArrayLike<number>;
}

export interface RankedSupervisor {
  name: string;
  misfit: number;
  weakError: number;
  /** `weakError - misfit`: what the student's error should be; the smallest is chosen. */
  score: number;
  /** 95 % interval of the score on the examples with truth; null with fewer than 2. */
  interval: { low: number; high: number } | null;
}

export interface SupervisorChoice {
  /** Whose student to use. Of equal scores the first by name. */
  chosen: string;
  /** Others with the same score. */
  ties: string[];
  /** By score, the best first. */
  ranking: RankedSupervisor[];
}

/**
 * Chooses among weak supervisors by `error of the weak labels - misfit of their student` (Charikar et al. 2024, section 5): few true
 * labels give the first, and the second needs none. The error of the weak labels alone prefers a supervisor whose flaws a student
 * copies to one whose flaws it cannot fit.
 *
 * @param truth of all examples, `null` where unknown; each candidate's score is made of those that are known
 * @throws UserError for no candidates, two of one name, no truth, and what {@link misfitGain} refuses
 */
export function chooseSupervisor(
  candidates: readonly SupervisorCandidate[],
  truth: ArrayLike<number | null>,
  { width = 1 }: { width?: number } = {},
): SupervisorChoice {
  if (candidates.length === 0) throw new UserError("there is no weak supervisor to choose from");
  const twice = candidates.find(({ name }, i) => candidates.findIndex((each) => each.name === name) < i);
  if (twice) throw new UserError(`two weak supervisors are called "${twice.name}"`);
  const ranking = candidates.map(({ name, weak, student }): RankedSupervisor => {
    if (weak.length !== truth.length || student.length !== truth.length) {
      throw new UserError(
        `"${name}" has ${weak.length} weak labels and ${student.length} of its student, the truth has ${truth.length} values: all must be of the same examples`,
      );
    }
    const { misfit, weakError } = misfitGain({ weak, student, truth, width });
    if (weakError.value === null) {
      throw new UserError("the truth of no example is known, so weak supervisors cannot be compared", {
        hint: "A few dozen true labels will do: misfit itself needs none.",
      });
    }
    const score = weakError.value - misfit;
    const values = truth as ArrayLike<number>;
    const differences = knownRows(truth, truth.length / width, width).map((row) => {
      let sum = 0;
      for (let i = row * width; i < (row + 1) * width; i++) {
        sum += (weak[i] - values[i]) ** 2 - (weak[i] - student[i]) ** 2;
      }
      return sum;
    });
    const n = differences.length;
    const half = n < 2 ? null : studentQuantile(0.975, n - 1) * standardError(differences);
    const interval = half === null ? null : { low: score - half, high: score + half };
    return { name, misfit, weakError: weakError.value, score, interval };
  });
  ranking.sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1));
  const [best, ...others] = ranking;
  return {
    chosen: best.name,
    ties: others.filter(({ score }) => score === best.score).map(({ name }) => name),
    ranking,
  };
}

function knownRows(truth: ArrayLike<number | null> | undefined, examples: number, width: number): number[] {
  const known: number[] = [];
  for (let row = 0; truth && row < examples; row++) {
    let given = 0;
    for (let i = row * width; i < (row + 1) * width; i++) {
      const value = truth[i];
      if (value === null) continue;
      given++;
    }
    if (given !== 0 && given !== width) {
      throw new UserError(`the truth of example ${row} is known in part: give all ${width} numbers or null`);
    }
    if (given > 0) known.push(row);
  }
  return known;
}

function checkValues(
  columns: Record<string, ArrayLike<number | null>>,
  width: number,
  loss: MisfitLoss,
): void {
  for (const [name, values] of Object.entries(columns)) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value === null && name === "truth") continue;
      const isFine =
        value !== null && (loss === "squared" ? Number.isFinite(value) : value >= 0 && value <= 1 + 1e-6);
      if (isFine) continue;
      const wanted = loss === "squared" ? "a finite number" : "a probability";
      throw new UserError(
        `"${name}" of example ${Math.floor(i / width)} (counted from 0) is ${value}, expected ${wanted}`,
      );
    }
  }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function standardError(values: readonly number[]): number {
  const centre = mean(values);
  const square = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(square / (values.length - 1) / values.length);
}
