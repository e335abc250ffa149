/* The boundaries of a fit's student and weak supervisor. */
import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyScaling,
  backboneFeatures,
  type ClassificationInputs,
  type ClassifierParams,
  classifierLogits,
  fitScaling,
  type Scaling,
  selectRows,
  trainLogisticRegression,
} from "outgrow";
import type { SavedStudent } from "../w2sg/saved-student.js";
import { type BoundaryDiagnostics, boundaryDiagnostics } from "./diagnostics.js";

/** Points to look at: their rows, and the class of each. */
export interface JudgedPoints {
  rows: Int32Array;
  labels: Int32Array;
}

type FeatureRows = Extract<ClassificationInputs, { kind: "features" }>;

/**
 * Of rows of features in the student's scales; of texts in the student's own features, before the head, in which it is linear.
 *
 * @param inputs of all rows, as the fit read them
 */
export async function studentBoundary(
  student: SavedStudent,
  inputs: ClassificationInputs,
  { rows, labels }: JudgedPoints,
): Promise<BoundaryDiagnostics> {
  const { backbone, params, classes } = student;
  if (inputs.kind === "features") {
    const logits = (given: ClassifierParams<JaxArray>, x: JaxArray) =>
      classifierLogits(backbone, given, { x });
    const { x } = selectRows({ x: scaled(inputs, student.scaling as Scaling) }, rows);
    return boundaryDiagnostics({ params, logits }, x, labels, classes.length);
  }
  const { body, head } = params;
  const texts = (student.text as NonNullable<typeof student.text>).encode(
    Array.from(rows, (row) => inputs.texts[row]),
  );
  const points = await backboneFeatures({ ...backbone, body }, texts);
  const logits = (given: { head: JaxArray }, x: JaxArray) => np.matmul(x, given.head);
  return boundaryDiagnostics({ params: { head }, logits }, points, labels, classes.length);
}

/** Of the logistic regression that a fit trains as the weak supervisor, on the same rows again; in the student's scales. */
export async function supervisorBoundary(
  student: SavedStudent,
  inputs: FeatureRows,
  { rows, labels }: JudgedPoints,
  supervision: JudgedPoints,
): Promise<BoundaryDiagnostics> {
  const classes = student.classes.length;
  const [, width] = inputs.shape;
  const scaling = student.scaling as Scaling;
  const own = fitScaling(inputs.features, inputs.shape, supervision.rows);
  const taught = selectRows({ x: scaled(inputs, own) }, supervision.rows).x;
  const fitted = trainLogisticRegression({
    features: taught.data as Float32Array,
    shape: [supervision.rows.length, width],
    labels: supervision.labels,
    classes,
  });
  const weights = new Float32Array(width * classes);
  const bias = Float32Array.from(fitted.bias);
  for (let j = 0; j < width; j++) {
    if (own.deviation[j] === 0) continue;
    for (let k = 0; k < classes; k++) {
      const weight = fitted.weights[j * classes + k] / own.deviation[j];
      weights[j * classes + k] = weight * scaling.deviation[j];
      bias[k] += weight * (scaling.mean[j] - own.mean[j]);
    }
  }
  const linear = {
    params: { weights: new Tensor(weights, [width, classes]), bias: new Tensor(bias, [classes]) },
    logits: (given: { weights: JaxArray; bias: JaxArray }, x: JaxArray) =>
      np.matmul(x, given.weights).add(given.bias),
  };
  const { x } = selectRows({ x: scaled(inputs, scaling) }, rows);
  return boundaryDiagnostics(linear, x, labels, classes);
}

const scaled = ({ features, shape }: FeatureRows, scaling: Scaling): Tensor =>
  new Tensor(applyScaling(features, scaling), [...shape]);
