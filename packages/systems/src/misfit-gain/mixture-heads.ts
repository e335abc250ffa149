import { minimise, type Objective, type Random } from "outgrow";

/** A mixture of softmax heads: `p(c | x) = sum_j weight_j softmax_c(x W_j + b_j)`. */
export interface MixtureHeads {
  components: number;
  classes: number;
  /** `[components, columns + 1, classes]`, the bias last, then the logits of the components' weights `[components]`. */
  parameters: Float64Array;
}

interface Rows {
  /** `[rows, columns]` */
  features: Float64Array;
  columns: number;
}

export interface MixtureOptions {
  components: number;
  classes: number;
  random: Random;
  iterations: number;
}

/**
 * The mixture that is nearest to the weak labels in `E KL(p || weak)`, found from small random weights by L-BFGS: a class that is the
 * closer to convex in probabilities the more components it has (Mulgund and Pabbaraju 2025).
 *
 * @param weak probabilities `[rows, classes]`; below 1e-12 they count as that
 */
export function fitMixture(
  rows: Rows,
  weak: ArrayLike<number>,
  { components, classes, random, iterations }: MixtureOptions,
): MixtureHeads {
  const size = components * (rows.columns + 1) * classes + components;
  const start = Float64Array.from(random.normals(size, 0.1));
  const objective = reverseKl(rows, weak, components, classes);
  const { point } = minimise(objective, start, { maxIterations: iterations });
  return { components, classes, parameters: point };
}

/** `[rows, classes]` */
export function mixtureProbabilities(heads: MixtureHeads, { features, columns }: Rows): Float64Array {
  const { components, classes, parameters } = heads;
  const count = features.length / columns;
  const result = new Float64Array(count * classes);
  const parts = new Float64Array(components * classes);
  const shares = softmax(parameters.subarray(parameters.length - components));
  for (let row = 0; row < count; row++) {
    const x = features.subarray(row * columns, (row + 1) * columns);
    componentProbabilities(parameters, x, parts, classes);
    for (let j = 0; j < components; j++) {
      for (let c = 0; c < classes; c++) result[row * classes + c] += shares[j] * parts[j * classes + c];
    }
  }
  return result;
}

/** `mean over rows of sum_c p_c log(p_c / weak_c)` and its gradient. */
export function reverseKl(
  { features, columns }: Rows,
  weak: ArrayLike<number>,
  components: number,
  classes: number,
): Objective {
  const count = features.length / columns;
  const block = (columns + 1) * classes;
  const logWeak = Float64Array.from(weak, (p) => Math.log(Math.max(p, 1e-12)));
  const parts = new Float64Array(components * classes);
  const p = new Float64Array(classes);
  const slopes = new Float64Array(classes);
  return (point, gradient) => {
    gradient.fill(0);
    const shares = softmax(point.subarray(components * block));
    let total = 0;
    for (let row = 0; row < count; row++) {
      const x = features.subarray(row * columns, (row + 1) * columns);
      componentProbabilities(point, x, parts, classes);
      p.fill(0);
      for (let j = 0; j < components; j++) {
        for (let c = 0; c < classes; c++) p[c] += shares[j] * parts[j * classes + c];
      }
      let all = 0;
      for (let c = 0; c < classes; c++) {
        slopes[c] = Math.log(Math.max(p[c], 1e-300)) - logWeak[row * classes + c];
        total += p[c] * slopes[c];
        all += p[c] * slopes[c];
      }
      for (let j = 0; j < components; j++) {
        let own = 0;
        for (let c = 0; c < classes; c++) own += parts[j * classes + c] * slopes[c];
        gradient[components * block + j] += (shares[j] * (own - all)) / count;
        for (let c = 0; c < classes; c++) {
          const slope = (shares[j] * parts[j * classes + c] * (slopes[c] - own)) / count;
          const at = j * block + c;
          for (let i = 0; i < columns; i++) gradient[at + i * classes] += slope * x[i];
          gradient[at + columns * classes] += slope;
        }
      }
    }
    return total / count;
  };
}

function componentProbabilities(
  parameters: Float64Array,
  x: Float64Array,
  out: Float64Array,
  classes: number,
): void {
  const columns = x.length;
  const block = (columns + 1) * classes;
  const components = out.length / classes;
  for (let j = 0; j < components; j++) {
    const [at, own] = [j * block, j * classes];
    let top = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) {
      let logit = parameters[at + columns * classes + c];
      for (let i = 0; i < columns; i++) logit += x[i] * parameters[at + i * classes + c];
      out[own + c] = logit;
      if (logit > top) top = logit;
    }
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      out[own + c] = Math.exp(out[own + c] - top);
      sum += out[own + c];
    }
    for (let c = 0; c < classes; c++) out[own + c] /= sum;
  }
}

function softmax(logits: Float64Array): Float64Array {
  const top = Math.max(...logits);
  const exponentials = logits.map((value) => Math.exp(value - top));
  const sum = exponentials.reduce((all, value) => all + value, 0);
  return exponentials.map((value) => value / sum);
}
