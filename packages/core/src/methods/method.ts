import type { Tensor } from "@outgrow/engine";
import type { SoftLabels } from "../data/soft-labels.js";
import type { StudentLoss } from "../train/loss.js";

/** What a student is to learn from. */
export interface Lesson {
  /** One row for each example that is kept. */
  labels: SoftLabels;
  /** Numbers of the kept examples, ascending; absent: all. */
  rows?: Int32Array;
}

/** How a student learns from weak labels. */
export interface Method {
  /** As users type it. */
  name: string;
  /** One sentence for people. */
  summary: string;
  /** Paper, section or file. */
  source: string;
  /** The loss for this many classes. Throws UserError where the method cannot be used on the labels. */
  loss(weak: SoftLabels, batchSize: number): StudentLoss;
  /**
   * Changes the lesson before the training: other labels, or fewer examples.
   *
   * @param features of the pretrained student, before it sees a label: `[examples, width]`
   */
  prepare?(labels: SoftLabels, features: () => Promise<Tensor>): Promise<Lesson>;
  /**
   * Made for several supervisors: weighs them all alike, or learns a weight for each. With one supervisor it is the naive method.
   * Methods without this learn from the equal mean of several.
   */
  several?: "equal weights" | "learned weights";
  /** How often a fresh student is trained, each but the first on the labels of the one before. Default 1. */
  rounds?: number;
}

/** What {@link learn} needs of a student's model and data. */
export interface Classroom<Student> {
  /** Trains a fresh student. */
  fit(lesson: Lesson): Promise<Student>;
  /** A student's probabilities for all examples. */
  label(student: Student): Promise<SoftLabels>;
  /** See {@link Method.prepare}. */
  features(): Promise<Tensor>;
}

/** Trains a student on weak labels by a method: prepare, fit, and again on the student's own labels where it says so. */
export async function learn<Student>(
  method: Method,
  weak: SoftLabels,
  { fit, label, features }: Classroom<Student>,
): Promise<Student> {
  const lesson = (await method.prepare?.(weak, features)) ?? { labels: weak };
  let student = await fit(lesson);
  for (let round = 1; round < (method.rounds ?? 1); round++) {
    student = await fit({ labels: await label(student) });
  }
  return student;
}
