import { createRandom, type Random } from "outgrow";
import { drawGlyphs } from "../boundary-tilting/glyphs.js";
import { dot } from "./span.js";

/** Side of each half. */
const SIDE = 10;
/** How much fainter the glyph is than the bars. */
const FAINT = 0.1;

export interface TwoPartImages {
  /** [count][2 · side²]: a bar code whose phase tells the class, then a faint glyph. */
  images: Float64Array[];
  /** -1 or +1. */
  labels: Int8Array;
}

/** @param withoutBars share of the images whose first half is empty */
export function drawTwoPartImages(count: number, withoutBars: number, seed: string): TwoPartImages {
  const { points, truth } = drawGlyphs(["3", "7"], count, SIDE, seed);
  const random = createRandom(seed).stream("bars");
  const bare = new Set(random.permutation(count).subarray(0, Math.round(withoutBars * count)));
  const images = points.map((glyph, i) => {
    const image = new Float64Array(2 * SIDE * SIDE);
    for (let k = 0; k < SIDE * SIDE; k++) {
      image[k] = bare.has(i) ? 0 : Number(((k % SIDE) % 2 === 0) === truth[i] > 0);
      image[SIDE * SIDE + k] = FAINT * glyph[k];
    }
    return image;
  });
  return { images, labels: truth };
}

/** One hidden layer of ReLUs and one output, by SGD on the logistic loss, one image a step, without momentum. */
export class ImageMlp {
  readonly hidden: Float64Array[];
  readonly bias: Float64Array;
  readonly output: Float64Array;
  private readonly activations: Float64Array;

  constructor(size: number, width: number, random: Random) {
    const draw = (count: number, deviation: number) =>
      Float64Array.from({ length: count }, () => deviation * random.normal());
    this.hidden = Array.from({ length: width }, () => draw(size, Math.sqrt(2 / size)));
    this.bias = new Float64Array(width);
    this.output = draw(width, Math.sqrt(1 / width));
    this.activations = new Float64Array(width);
  }

  logit(image: Float64Array): number {
    let sum = 0;
    for (let h = 0; h < this.hidden.length; h++) {
      this.activations[h] = Math.max(0, dot(this.hidden[h], image) + this.bias[h]);
      sum += this.output[h] * this.activations[h];
    }
    return sum;
  }

  /** @returns y·logit before the update */
  step(image: Float64Array, label: number, rate: number): number {
    const margin = label * this.logit(image);
    const scale = (rate * label) / (1 + Math.exp(margin));
    for (let h = 0; h < this.hidden.length; h++) {
      const active = this.activations[h];
      if (active === 0) continue;
      const back = scale * this.output[h];
      const weights = this.hidden[h];
      this.output[h] += scale * active;
      this.bias[h] += back;
      for (let k = 0; k < weights.length; k++) weights[k] += back * image[k];
    }
    return margin;
  }

  accuracy({ images, labels }: TwoPartImages): number {
    return images.filter((image, i) => labels[i] * this.logit(image) > 0).length / images.length;
  }
}
