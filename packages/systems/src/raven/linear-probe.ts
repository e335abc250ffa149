/* What the loops over single linear students share. */

/** Adam in float64 along a cosine to 0 over all steps. */
export class CosineAdam {
  private readonly mean: Float64Array;
  private readonly square: Float64Array;
  private taken = 0;

  constructor(
    private readonly parameters: Float64Array,
    private readonly learningRate: number,
    private readonly steps: number,
  ) {
    this.mean = new Float64Array(parameters.length);
    this.square = new Float64Array(parameters.length);
  }

  step(gradient: Float64Array): void {
    const { mean, square, parameters } = this;
    const rate = (this.learningRate / 2) * (1 + Math.cos((Math.PI * this.taken) / this.steps));
    this.taken++;
    const [m1, m2] = [1 - 0.9 ** this.taken, 1 - 0.999 ** this.taken];
    for (let i = 0; i < parameters.length; i++) {
      mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
      square[i] = 0.999 * square[i] + 0.001 * gradient[i] * gradient[i];
      parameters[i] -= (rate * mean[i]) / m1 / (Math.sqrt(square[i] / m2) + 1e-8);
    }
  }
}

/** A row's logits, by parameters `[features + 1, classes]` with the bias last. */
export function scoreRow(
  parameters: Float64Array,
  { features, width, row }: { features: Float32Array; width: number; row: number },
  scores: Float64Array,
): void {
  const classes = scores.length;
  for (let k = 0; k < classes; k++) scores[k] = parameters[width * classes + k];
  for (let j = 0; j < width; j++) {
    const x = features[row * width + j];
    if (x !== 0) for (let k = 0; k < classes; k++) scores[k] += x * parameters[j * classes + k];
  }
}

/** Adds the gradient of a row's loss, by its slopes along the logits. */
export function addRow(
  gradient: Float64Array,
  { features, width, row }: { features: Float32Array; width: number; row: number },
  slopes: Float64Array,
): void {
  const classes = slopes.length;
  for (let k = 0; k < classes; k++) gradient[width * classes + k] += slopes[k];
  for (let j = 0; j < width; j++) {
    const x = features[row * width + j];
    if (x !== 0) for (let k = 0; k < classes; k++) gradient[j * classes + k] += slopes[k] * x;
  }
}
