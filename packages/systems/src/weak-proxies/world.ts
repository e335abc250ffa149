import type { Random } from "outgrow";
import { trainLogisticRegression } from "outgrow";
import { z } from "zod";

const half = (value: number) => z.number().min(0).default(value);

/** People of two groups: features that decide an outcome, and names that tell the group without the features. */
export const peopleWorldSchema = z.strictObject({
  features: z.int().min(2).max(100).default(6),
  names: z.int().min(1).max(100).default(4),
  /** P(group = 1). */
  prior: z.number().gt(0).lt(1).default(0.49),
  /** Distance of each group's features from the middle, along the direction that the outcome depends on. */
  shift: half(0.35),
  /** The same along features that the outcome does not depend on: with them a model can make up for the gap. */
  across: half(0.5),
  /** What group 1 adds to the logit of the outcome. */
  direct: z.number().default(0.5),
  /** Rows that each proxy learns from, of another population. */
  outside: z.int().min(10).default(2000),
});
export type PeopleWorldConfig = z.output<typeof peopleWorldSchema>;

export interface People {
  group: Int32Array;
  /** `[n, features]`. */
  features: Float32Array;
  outcome: Int32Array;
}

/** How well names tell the group, and how proxies' errors come about. */
export interface NameConfig {
  /** Accuracy of one name's best guess where both groups are equally common. */
  accuracy: number;
  /** P(group = 1) in the sample that proxies learn from: away from one half, their errors are of unequal rates. */
  outsidePrior: number;
  /** Probability that a person's three names share one draw of noise. */
  shared: number;
  /** What is added to the accuracy where the audited model predicts the class of the group's number, and taken off elsewhere:
   * above 0, guesses of the group lean towards the prediction. */
  dependence: number;
}

export class PeopleWorld {
  /** Of the outcome's logit. */
  private readonly direction: Float32Array;
  private readonly across: Float32Array;

  constructor(
    readonly config: PeopleWorldConfig,
    random: Random,
  ) {
    // The outcome depends on the first half of the features, so that no feature's gap cancels out.
    const half = Math.ceil(config.features / 2);
    const part = (name: string, first: boolean) =>
      unit(
        random
          .stream(name)
          .normals(config.features)
          .map((value, j) => (j < half === first ? value : 0)),
      );
    this.direction = part("direction", true);
    this.across = part("across", false);
  }

  draw(count: number, random: Random): People {
    const { features: width, prior, shift, across, direct } = this.config;
    const group = Int32Array.from({ length: count }, () => Number(random.uniform() < prior));
    const features = random.stream("features").normals(count * width);
    const outcome = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const side = group[i] === 1 ? 1 : -1;
      let along = 0;
      for (let j = 0; j < width; j++) {
        features[i * width + j] += side * (shift * this.direction[j] + across * this.across[j]);
        along += features[i * width + j] * this.direction[j];
      }
      const logit = 2 * along + direct * (group[i] - 0.5);
      outcome[i] = Number(random.uniform() < 1 / (1 + Math.exp(-logit)));
    }
    return { group, features, outcome };
  }

  /** Three guesses of the group, each of a model of its own that learned from names of an outside sample. */
  proxies(
    people: Pick<People, "group">,
    predicted: Int32Array,
    names: NameConfig,
    random: Random,
  ): { columns: Int32Array[]; probabilities: Float32Array } {
    const { names: width, outside } = this.config;
    const count = people.group.length;
    const distance = (accuracy: number) => normalQuantile(Math.min(accuracy, 0.999)) / Math.sqrt(width);
    const middle = distance(names.accuracy);
    const [against, along] = [-1, 1].map((sign) => distance(names.accuracy + sign * names.dependence));
    const common = random.stream("shared names").normals(count * width);
    const isShared = Uint8Array.from({ length: count }, () => Number(random.uniform() < names.shared));
    const columns: Int32Array[] = [];
    let probabilities: Float32Array = new Float32Array(0);
    for (let j = 0; j < 3; j++) {
      const own = random.stream("proxy", j);
      const labels = Int32Array.from({ length: outside }, () => Number(own.uniform() < names.outsidePrior));
      const sample = own.stream("outside").normals(outside * width);
      for (let i = 0; i < sample.length; i++) sample[i] += (2 * labels[Math.floor(i / width)] - 1) * middle;
      const model = trainLogisticRegression({
        features: sample,
        shape: [outside, width],
        labels,
        classes: 2,
      });

      const seen = own.stream("names").normals(count * width);
      for (let i = 0; i < count; i++) {
        const mean = (2 * people.group[i] - 1) * (predicted[i] === people.group[i] ? along : against);
        for (let k = i * width; k < (i + 1) * width; k++) {
          seen[k] = mean + (isShared[i] === 1 ? common[k] : seen[k]);
        }
      }
      const { values } = model.predict(seen, [count, width]);
      columns.push(Int32Array.from({ length: count }, (_, i) => Number(values[2 * i + 1] > values[2 * i])));
      if (j === 0) probabilities = values;
    }
    return { columns, probabilities };
  }
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

/** The normal distribution's quantile, by bisection of its distribution function. */
export function normalQuantile(probability: number): number {
  let [low, high] = [-8, 8];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Marsaglia's series (2004): exact to rounding within 8 standard deviations. */
function normalCdf(x: number): number {
  let term = x;
  let sum = x;
  for (let i = 1; i < 200; i++) {
    term *= (x * x) / (2 * i + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
