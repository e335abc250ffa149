/*
 * Can a student be trusted, given the weak labels that it learnt from, with or without truth for some examples?
 */
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import { type Calibration, calibration } from "./calibration.js";
import { holm } from "./claims.js";
import { labelErrors } from "./confident-learning.js";
import { studentQuantile } from "./distributions.js";
import { type Measured, sameLength } from "./measured.js";
import { type MisfitGain, misfitGain } from "./misfit.js";

export interface AuditInput {
  /** Probabilities `[n, classes]` each, of the same examples. */
  weak: SoftLabels;
  student: SoftLabels;
  /** `[n]`: true classes, -1 where unknown. */
  truth?: Int32Array;
  /** `[n]` each: the group of every example by the name of a column; "" where it has none. */
  slices?: Readonly<Record<string, readonly string[]>>;
}

/** A difference in accuracy, student minus supervisor, on the same examples. */
export interface Gain {
  mean: number;
  /** 95 % interval; null with fewer than 2 examples. */
  low: number | null;
  high: number | null;
  examples: number;
}

export interface SliceAudit {
  column: string;
  group: string;
  examples: number;
  /** Share of its examples on which student and supervisor disagree. */
  disagreement: number;
  /** By the truth, where it is known. */
  gain?: Gain;
  /** Accuracy that the student expects to gain, by its own probabilities. */
  expectedGain: number;
  /** The student is likely worse than its supervisor here: by the truth, with all slices in mind (Holm 1979). */
  isWorse: boolean;
}

export const verdictsOfAudit = ["use the student", "use the weak labels", "get more truth"] as const;

export interface Audit {
  examples: number;
  /** Of them with truth. */
  known: number;
  /** Share on which student and supervisor agree. */
  agreement: number;
  /** The same by the supervisor's class. */
  agreementByClass: { class: number; examples: number; agreement: Measured }[];
  /** Mean squared distance of student and weak labels, which foretells by how much the squared error falls, and what truth says of it. */
  misfit: MisfitGain;
  /** Accuracy that the student expects to gain by its own probabilities; its calibration decides what that is worth. */
  expectedGain: number;
  gain?: Gain;
  calibration?: { weak: Calibration; student: Calibration };
  /** Of the examples on which both disagree. */
  disagreements: {
    examples: number;
    /** Mean probability that the student gives its own class there. */
    confidence: Measured;
    /** Share that it has right there, by the truth; the supervisor's; how much more it believes than it knows. */
    studentRight: Measured;
    weakRight: Measured;
    overconfidence: Measured;
  };
  slices: SliceAudit[];
  /** Weak labels that are likely wrong, by confident learning with the student's probabilities; the likeliest first. */
  weakLabelErrors: { example: number; label: number; suggested: number }[];
  /** True labels that are likely wrong, alike. */
  truthErrors: { example: number; label: number; suggested: number }[];
  verdict: (typeof verdictsOfAudit)[number];
  /** Why, in a sentence. */
  because: string;
  /**
   * Labels that would settle the matter if things are as they look: among examples drawn at random, and among those on which the
   * two disagree, which alone can tell them apart. null where nothing can settle it.
   */
  labelsToSettle: { atRandom: number; amongDisagreements: number } | null;
}

/** Fewer examples with truth say nothing of a slice. */
const LEAST_IN_SLICE = 10;

export function audit({ weak, student, truth, slices = {} }: AuditInput): Audit {
  const [examples, classes] = weak.shape;
  if (student.shape.join() !== weak.shape.join()) {
    throw new UserError(
      `the student has probabilities [${student.shape}], the weak labels [${weak.shape}]: they must be of the same examples and classes`,
    );
  }
  sameLength({ examples: { length: examples }, ...(truth ? { truth } : {}), ...slices });
  if (examples === 0) throw new UserError("there are no examples to audit");
  const weakHard = argmaxRows(weak.values, classes);
  const own = argmaxRows(student.values, classes);
  const all = Array.from({ length: examples }, (_, i) => i);
  const differ = all.filter((i) => own[i] !== weakHard[i]);
  const known = truth ? all.filter((i) => truth[i] >= 0) : [];
  const p = (i: number, k: number) => student.values[i * classes + k];
  const expected = (rows: readonly number[]) =>
    rows.reduce((sum, i) => sum + p(i, own[i]) - p(i, weakHard[i]), 0) / rows.length;
  const gainOf = (rows: readonly number[]): Gain | undefined => {
    const judged = rows.filter((i) => truth !== undefined && truth[i] >= 0);
    if (judged.length === 0) return undefined;
    return gainFrom(judged.map((i) => Number(own[i] === truth?.[i]) - Number(weakHard[i] === truth?.[i])));
  };
  const gain = gainOf(all);
  const settled = settle({ gain, examples, differ, own, weakHard, both: together(weak, student), truth });
  return {
    examples,
    known: known.length,
    agreement: 1 - differ.length / examples,
    agreementByClass: Array.from({ length: classes }, (_, k) => {
      const rows = all.filter((i) => weakHard[i] === k);
      return {
        class: k,
        examples: rows.length,
        agreement: share(rows, (i) => own[i] === k, "the supervisor never says this class"),
      };
    }),
    misfit: misfitGain({
      weak: weak.values,
      student: student.values,
      truth: truth && indicators(truth, classes),
      width: classes,
    }),
    expectedGain: expected(all),
    ...(gain ? { gain } : {}),
    ...(known.length > 0
      ? {
          calibration: {
            weak: calibrationOf(weak, truth, known),
            student: calibrationOf(student, truth, known),
          },
        }
      : {}),
    disagreements: disagreements(differ, own, weakHard, p, truth),
    slices: slicesOf(slices, { differ: new Set(differ), gainOf, expected }),
    weakLabelErrors: errorsIn(weakHard, student, all),
    truthErrors: truth ? errorsIn(truth, student, known) : [],
    ...settled,
  };
}

function gainFrom(differences: readonly number[]): Gain {
  const n = differences.length;
  const mean = differences.reduce((a, b) => a + b, 0) / n;
  if (n < 2) return { mean, low: null, high: null, examples: n };
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (n - 1);
  const half = studentQuantile(0.975, n - 1) * Math.sqrt(variance / n);
  return { mean, low: mean - half, high: mean + half, examples: n };
}

const share = (rows: readonly number[], is: (row: number) => boolean, reason: string): Measured =>
  rows.length === 0 ? { value: null, reason } : { value: rows.filter(is).length / rows.length };

/** Truth as probabilities `[n, classes]`, `null` where it is unknown. */
const indicators = (truth: Int32Array, classes: number): (number | null)[] =>
  Array.from(truth).flatMap((label) =>
    Array.from({ length: classes }, (_, k) => (label < 0 ? null : Number(k === label))),
  );

function rowsOf({ values, shape }: SoftLabels, rows: readonly number[]): SoftLabels {
  const classes = shape[1];
  const out = new Float32Array(rows.length * classes);
  rows.forEach((row, i) => {
    out.set(values.subarray(row * classes, (row + 1) * classes), i * classes);
  });
  return { values: out, shape: [rows.length, classes] };
}

const calibrationOf = (labels: SoftLabels, truth: Int32Array | undefined, known: readonly number[]) =>
  calibration(
    rowsOf(labels, known),
    Int32Array.from(known, (i) => truth?.[i] ?? -1),
  );

function disagreements(
  differ: readonly number[],
  own: Int32Array,
  weakHard: Int32Array,
  p: (i: number, k: number) => number,
  truth: Int32Array | undefined,
): Audit["disagreements"] {
  const judged = differ.filter((i) => truth !== undefined && truth[i] >= 0);
  const none = differ.length === 0 ? "they never disagree" : "no truth is known where they disagree";
  const confidenceIn = (rows: readonly number[]): Measured =>
    rows.length === 0
      ? { value: null, reason: none }
      : { value: rows.reduce((sum, i) => sum + p(i, own[i]), 0) / rows.length };
  const studentRight = share(judged, (i) => own[i] === truth?.[i], none);
  const believed = confidenceIn(judged);
  return {
    examples: differ.length,
    confidence: confidenceIn(differ),
    studentRight,
    weakRight: share(judged, (i) => weakHard[i] === truth?.[i], none),
    overconfidence:
      studentRight.value === null || believed.value === null
        ? { value: null, reason: none }
        : { value: believed.value - studentRight.value },
  };
}

function slicesOf(
  slices: Readonly<Record<string, readonly string[]>>,
  {
    differ,
    gainOf,
    expected,
  }: {
    differ: ReadonlySet<number>;
    gainOf: (rows: readonly number[]) => Gain | undefined;
    expected: (rows: readonly number[]) => number;
  },
): SliceAudit[] {
  const found = Object.entries(slices).flatMap(([column, groups]) => {
    const members = new Map<string, number[]>();
    groups.forEach((group, i) => {
      if (group === "") return;
      const rows = members.get(group) ?? [];
      rows.push(i);
      members.set(group, rows);
    });
    return [...members].map(([group, rows]) => {
      const gain = gainOf(rows);
      return {
        column,
        group,
        examples: rows.length,
        disagreement: rows.filter((i) => differ.has(i)).length / rows.length,
        expectedGain: expected(rows),
        ...(gain ? { gain } : {}),
      };
    });
  });
  // Of a loss or more, if student and supervisor were as good: by the binomial of the examples that one of them alone has right.
  const ps = holm(found.map(({ gain }) => lossProbability(gain)));
  return found
    .map((slice, i) => ({ ...slice, isWorse: ps[i] < 0.05 }))
    .sort((a, b) => (a.gain?.mean ?? a.expectedGain) - (b.gain?.mean ?? b.expectedGain));
}

/** One-sided p of the normal approximation of the mean difference; 1 where too little is known. */
function lossProbability(gain: Gain | undefined): number {
  if (!gain || gain.high === null || gain.low === null || gain.examples < LEAST_IN_SLICE) return 1;
  const half = (gain.high - gain.low) / 2;
  if (half === 0) return gain.mean < 0 ? 0 : 1;
  // From the interval to the standard error, and to how many of them the mean is below 0.
  const z = (gain.mean / half) * studentQuantile(0.975, gain.examples - 1);
  return z >= 0 ? 1 : normalTail(-z);
}

/** P(Z > z) of the standard normal for z >= 0 (Abramowitz and Stegun 26.2.17; error below 1e-7). */
function normalTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

function errorsIn(labels: Int32Array, predicted: SoftLabels, rows: readonly number[]) {
  if (rows.length === 0) return [];
  const found = labelErrors(
    Int32Array.from(rows, (row) => labels[row]),
    rowsOf(predicted, rows),
  );
  return found.examples.map((at, i) => ({
    example: rows[at],
    label: labels[rows[at]],
    suggested: found.suggested[i],
  }));
}

/** Power of the tests that the numbers of labels are for: 80 % at 5 %. */
const [Z_ERROR, Z_POWER] = [1.96, 0.8416];

interface Settling {
  gain: Gain | undefined;
  examples: number;
  differ: readonly number[];
  own: Int32Array;
  weakHard: Int32Array;
  /** Probability of a class by student and weak label together. */
  both: (i: number, k: number) => number;
  truth: Int32Array | undefined;
}

/**
 * The product of the two, which is the probability of a class if they err independently: where they disagree neither is as likely
 * right as it says. Weak labels without probabilities add nothing.
 */
function together(weak: SoftLabels, student: SoftLabels): (i: number, k: number) => number {
  const classes = weak.shape[1];
  const isHard = weak.values.every((value) => value === 0 || value === 1);
  const product = (i: number, k: number) =>
    student.values[i * classes + k] * (isHard ? 1 : Math.max(weak.values[i * classes + k], 1e-3));
  return (i, k) => {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += product(i, c);
    return product(i, k) / sum;
  };
}

function settle({
  gain,
  examples,
  differ,
  own,
  weakHard,
  both,
  truth,
}: Settling): Pick<Audit, "verdict" | "because" | "labelsToSettle"> {
  const points = (value: number) => `${(100 * value).toFixed(1)} points`;
  if (gain && gain.low !== null && gain.high !== null) {
    const interval = `95 % interval ${points(gain.low)} to ${points(gain.high)}, ${gain.examples} examples`;
    if (gain.low > 0) {
      const because = `by the truth it is more accurate than the weak labels by ${points(gain.mean)} (${interval})`;
      return { verdict: "use the student", because, labelsToSettle: { atRandom: 0, amongDisagreements: 0 } };
    }
    if (gain.high < 0) {
      const because = `by the truth the student is less accurate than they are by ${points(-gain.mean)} (${interval})`;
      return {
        verdict: "use the weak labels",
        because,
        labelsToSettle: { atRandom: 0, amongDisagreements: 0 },
      };
    }
  }
  if (differ.length === 0) {
    return {
      verdict: "use the weak labels",
      because: "the student says the same as they do everywhere",
      labelsToSettle: null,
    };
  }
  const judged = differ.filter((i) => truth !== undefined && truth[i] >= 0);
  // Of the disagreements that one of the two has right, the share that the student has.
  const wins = judged.filter((i) => own[i] === truth?.[i]).length;
  const losses = judged.filter((i) => weakHard[i] === truth?.[i]).length;
  const mean = (value: (i: number) => number) => differ.reduce((sum, i) => sum + value(i), 0) / differ.length;
  const [believedWin, believedLoss] = [mean((i) => both(i, own[i])), mean((i) => both(i, weakHard[i]))];
  // What both say together counts as much as ten judged ones.
  const win = (wins + 10 * believedWin) / (judged.length + 10);
  const loss = (losses + 10 * believedLoss) / (judged.length + 10);
  const decisive = win + loss;
  const q = win / decisive;
  const because = gain
    ? `the truth of ${gain.examples} examples does not tell the two apart (student minus weak labels: ${points(gain.mean)}${gain.low === null ? "" : `, 95 % interval ${points(gain.low)} to ${points(gain.high as number)}`})`
    : `no truth is known; by the probabilities of both the student would gain ${points(((believedWin - believedLoss) * differ.length) / examples)}, which is worth what their calibration is`;
  if (Math.abs(q - 0.5) < 1e-3) return { verdict: "get more truth", because, labelsToSettle: null };
  // The sign test on the decisive disagreements.
  const tests = ((Z_ERROR * 0.5 + Z_POWER * Math.sqrt(q * (1 - q))) / (q - 0.5)) ** 2;
  const amongDisagreements = Math.max(0, Math.ceil(tests / decisive) - judged.length);
  const atRandom = Math.ceil((amongDisagreements * examples) / differ.length);
  return { verdict: "get more truth", because, labelsToSettle: { atRandom, amongDisagreements } };
}
