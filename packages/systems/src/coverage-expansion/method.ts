/*
 * Students of weak labels that abstain on most examples (Lang, Sontag and Vijayaraghavan 2024, section 6): linear classifiers on a
 * fixed representation, trained on the covered examples alone.
 */
import { type Features, type Random, UserError } from "outgrow";

/** The weak label of an example that the weak supervisor says nothing of. */
export const ABSTAIN = -1;

export interface CoveredProblem {
  /** `[rows, columns]` of a representation that stays as it is. */
  features: Features;
  /** `[rows]`: classes from 0, or `abstain`. */
  weakLabels: ArrayLike<number>;
  classes: number;
  /** Which weak label says nothing. Default {@link ABSTAIN}. */
  abstain?: number;
  /** Names of the rows, for errors. */
  ids?: readonly string[];
}

export interface CoveredOptions {
  random: Random;
  /** Students, each of a random subset of the covered examples. Default 5. */
  repeats?: number;
  /** Share of the covered examples that a student learns from; by the others its step is chosen. Default 0.8. */
  share?: number;
  /** Default 500. */
  steps?: number;
  /** Of AdamW, falling to 0 along a line. Default 0.01. */
  learningRate?: number;
  /** Decoupled, of the weights and the bias. Default 0.1. */
  weightDecay?: number;
  /** Default 64. */
  batchSize?: number;
  /** Steps between looks at the held-out examples. Default 25. */
  validateEvery?: number;
}

/** A linear classifier: `x weights + bias`. */
export interface LinearStudent {
  /** `[columns, classes]` */
  weights: Float64Array;
  /** `[classes]` */
  bias: Float64Array;
  /** The step whose weights were kept, and how often they differed from the weak labels that were held out. */
  step: number;
  heldOutDisagreement: number;
}

/**
 * Trains students on covered examples. Nothing but weak labels is seen: the step is the first of least disagreement with those held
 * out.
 *
 * @throws UserError for no covered examples, for those of one class alone, weak labels that are no class, a code for abstaining that
 *   is a class, and features that are not finite, with their row
 */
export function trainOnCovered(problem: CoveredProblem, options: CoveredOptions): LinearStudent[] {
  const { repeats = 5, share = 0.8, random } = options;
  const covered = coveredRows(problem);
  checkFinite(problem, covered);
  return Array.from({ length: repeats }, (_, repeat) => {
    const own = random.stream("repeat", repeat);
    const order = own.stream("subset").permutation(covered.length);
    const learned = Math.min(covered.length - 1, Math.max(1, Math.round(share * covered.length)));
    const rows = Int32Array.from(order, (at) => covered[at]);
    return train(problem, rows.subarray(0, learned), rows.subarray(learned), own.stream("order"), options);
  });
}

function coveredRows({ features, weakLabels, classes, abstain = ABSTAIN, ids }: CoveredProblem): number[] {
  const [rows] = features.shape;
  if (weakLabels.length !== rows) {
    throw new UserError(`${weakLabels.length} weak labels for ${rows} rows of features`);
  }
  if (abstain >= 0 && abstain < classes) {
    throw new UserError(`the code for abstaining is ${abstain}, which is one of the ${classes} classes`, {
      hint: `Use a number that is no class, such as ${ABSTAIN}.`,
    });
  }
  const covered: number[] = [];
  const seen = new Set<number>();
  for (let row = 0; row < rows; row++) {
    const label = weakLabels[row];
    if (label === abstain) continue;
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new UserError(
        `the weak label of ${named(row, ids)} is ${label}, expected a class from 0 to ${classes - 1} or ${abstain}`,
      );
    }
    covered.push(row);
    seen.add(label);
  }
  if (covered.length === 0) {
    throw new UserError(`all ${rows} weak labels abstain: there is nothing to learn from`);
  }
  if (seen.size === 1) {
    throw new UserError(
      `all ${covered.length} weak labels that do not abstain are of class ${[...seen][0]}: a student can learn nothing else`,
    );
  }
  return covered;
}

function checkFinite({ features, ids }: CoveredProblem, rows: readonly number[]): void {
  const { values, sparse, shape } = features;
  for (const row of rows) {
    const [start, end] = sparse
      ? [sparse.offsets[row], sparse.offsets[row + 1]]
      : [row * shape[1], (row + 1) * shape[1]];
    for (let j = start; j < end; j++) {
      if (Number.isFinite(values[j])) continue;
      const column = sparse ? sparse.columns[j] : j - start;
      throw new UserError(
        `feature ${column} of ${named(row, ids)} is ${values[j]}, expected a finite number`,
      );
    }
  }
}

const named = (row: number, ids?: readonly string[]) =>
  ids ? `example "${ids[row]}"` : `row ${row} (counted from 0)`;

function train(
  { features, weakLabels, classes }: CoveredProblem,
  rows: Int32Array,
  heldOut: Int32Array,
  random: Random,
  options: CoveredOptions,
): LinearStudent {
  const { steps = 500, learningRate = 0.01, weightDecay = 0.1, batchSize = 64, validateEvery = 25 } = options;
  const student = new LinearScores(features.shape[1], classes);
  const { parameters, scores } = student;
  const gradient = new LinearScores(features.shape[1], classes);
  const mean = new Float64Array(parameters.length);
  const square = new Float64Array(parameters.length);
  const batch = Math.min(batchSize, rows.length);
  let [best, least, bestStep] = [parameters.slice(), Number.POSITIVE_INFINITY, 0];
  let order = random.permutation(rows.length);
  let at = 0;
  for (let step = 1; step <= steps; step++) {
    gradient.parameters.fill(0);
    if (at + batch > order.length) {
      order = random.permutation(rows.length);
      at = 0;
    }
    for (const end = at + batch; at < end; at++) {
      const row = rows[order[at]];
      student.score(features, row);
      softmax(scores);
      scores[weakLabels[row]] -= 1;
      gradient.addOuter(features, row, scores, 1 / batch);
    }
    const rate = learningRate * (1 - (step - 1) / steps);
    const [m1, m2] = [1 - 0.9 ** step, 1 - 0.999 ** step];
    for (let i = 0; i < parameters.length; i++) {
      const slope = gradient.parameters[i];
      mean[i] = 0.9 * mean[i] + 0.1 * slope;
      square[i] = 0.999 * square[i] + 0.001 * slope * slope;
      const change = mean[i] / m1 / (Math.sqrt(square[i] / m2) + 1e-8);
      parameters[i] -= rate * (change + weightDecay * parameters[i]);
    }
    if (step % validateEvery !== 0 && step !== steps) continue;
    let wrong = 0;
    for (const row of heldOut) {
      student.score(features, row);
      wrong += Number(largest(scores) !== weakLabels[row]);
    }
    if (wrong / heldOut.length < least) {
      [best, least, bestStep] = [parameters.slice(), wrong / heldOut.length, step];
    }
  }
  parameters.set(best);
  return { ...student.weightsAndBias(), step: bestStep, heldOutDisagreement: least };
}

/** The class of each row; of equal scores the first. */
export function predictClasses(
  student: Pick<LinearStudent, "weights" | "bias">,
  features: Features,
): Int32Array {
  const [rows, columns] = features.shape;
  const classes = student.bias.length;
  if (student.weights.length !== columns * classes) {
    throw new UserError(
      `the student has weights of ${student.weights.length / classes} columns, not ${columns}`,
    );
  }
  const linear = new LinearScores(columns, classes);
  linear.setWeightsAndBias(student);
  return Int32Array.from({ length: rows }, (_, row) => {
    linear.score(features, row);
    return largest(linear.scores);
  });
}

/** Parameters class by class, so that rows of features run along them: `[classes, columns]`, then biases `[classes]`. */
class LinearScores {
  readonly parameters: Float64Array;
  /** Of the row last scored: `[classes]`. */
  readonly scores: Float64Array;

  constructor(
    private readonly columns: number,
    private readonly classes: number,
  ) {
    this.parameters = new Float64Array(classes * columns + classes);
    this.scores = new Float64Array(classes);
  }

  score({ values, sparse }: Features, row: number): void {
    const { parameters, columns, classes } = this;
    for (let k = 0; k < classes; k++) {
      const own = k * columns;
      let sum = parameters[classes * columns + k];
      if (sparse) {
        const end = sparse.offsets[row + 1];
        for (let j = sparse.offsets[row]; j < end; j++)
          sum += values[j] * parameters[own + sparse.columns[j]];
      } else {
        for (let j = 0, at = row * columns; j < columns; j++) sum += values[at + j] * parameters[own + j];
      }
      this.scores[k] = sum;
    }
  }

  addOuter({ values, sparse }: Features, row: number, residuals: Float64Array, factor: number): void {
    const { parameters, columns, classes } = this;
    for (let k = 0; k < classes; k++) {
      const own = k * columns;
      const residual = residuals[k] * factor;
      parameters[classes * columns + k] += residual;
      if (sparse) {
        const end = sparse.offsets[row + 1];
        for (let j = sparse.offsets[row]; j < end; j++) {
          parameters[own + sparse.columns[j]] += values[j] * residual;
        }
      } else {
        for (let j = 0, at = row * columns; j < columns; j++)
          parameters[own + j] += values[at + j] * residual;
      }
    }
  }

  weightsAndBias(): { weights: Float64Array; bias: Float64Array } {
    const { parameters, columns, classes } = this;
    const weights = new Float64Array(columns * classes);
    for (let i = 0; i < weights.length; i++) {
      weights[i] = parameters[(i % classes) * columns + Math.floor(i / classes)];
    }
    return { weights, bias: parameters.slice(classes * columns) };
  }

  setWeightsAndBias({ weights, bias }: { weights: Float64Array; bias: Float64Array }): void {
    const { parameters, columns, classes } = this;
    for (let i = 0; i < weights.length; i++) {
      parameters[(i % classes) * columns + Math.floor(i / classes)] = weights[i];
    }
    parameters.set(bias, classes * columns);
  }
}

function softmax(scores: Float64Array): void {
  let top = scores[0];
  for (let k = 1; k < scores.length; k++) if (scores[k] > top) top = scores[k];
  let sum = 0;
  for (let k = 0; k < scores.length; k++) {
    scores[k] = Math.exp(scores[k] - top);
    sum += scores[k];
  }
  for (let k = 0; k < scores.length; k++) scores[k] /= sum;
}

function largest(scores: Float64Array): number {
  let best = 0;
  for (let k = 1; k < scores.length; k++) if (scores[k] > scores[best]) best = k;
  return best;
}
