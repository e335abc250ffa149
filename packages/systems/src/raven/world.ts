import type { Random } from "outgrow";

export const CLASSES = 6;
const CORE = 24;
const CODE = 16;
const WEAK_VIEW = 12;
export const STRONG = 64;
export const WEAK = WEAK_VIEW + CODE;

export interface ShiftedExamples {
  labels: Int32Array;
  /** `[n, 28]`: a lossy view of the core, and the environment's code of the class. */
  weak: Float32Array;
  /** `[n, 64]`: a good representation of the core. */
  strong: Float32Array;
}

/** Where examples come from: a style, and a code that gives the class away there alone. */
export interface Environment {
  style: Float32Array;
  /** `[classes, 16]`. */
  code: Float32Array;
}

/** Classes with prototypes, in environments whose spurious codes agree with the target's more or less. */
export class ShiftWorld {
  private readonly prototypes: Float32Array;
  private readonly lossy: Float32Array;
  private readonly view: Float32Array;
  readonly target: Environment;

  constructor(random: Random) {
    this.prototypes = random.stream("prototypes").normals(CLASSES * CORE);
    this.lossy = random.stream("lossy").normals(CORE * WEAK_VIEW, 1 / Math.sqrt(CORE));
    this.view = random.stream("view").normals(CORE * STRONG, 1 / Math.sqrt(CORE));
    this.target = {
      style: random.stream("style").normals(CORE, 0.6),
      code: random.stream("code").normals(CLASSES * CODE),
    };
  }

  /** An environment of its own style whose code has this correlation with the target's. */
  environment(agreement: number, random: Random): Environment {
    const noise = random.stream("code").normals(CLASSES * CODE);
    const rest = Math.sqrt(1 - agreement ** 2);
    return {
      style: random.stream("style").normals(CORE, 0.6),
      code: noise.map((value, i) => agreement * this.target.code[i] + rest * value),
    };
  }

  /** @param labels default drawn alike often */
  draw(
    count: number,
    { style, code }: Environment,
    random: Random,
    labels = Int32Array.from({ length: count }, () => random.integer(CLASSES)),
  ): ShiftedExamples {
    const core = random.stream("core").normals(count * CORE, 1.1);
    const noise = random.stream("noise").normals(count * CODE);
    const weak = new Float32Array(count * WEAK);
    const strong = new Float32Array(count * STRONG);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < CORE; c++) {
        const value = core[i * CORE + c] + this.prototypes[labels[i] * CORE + c];
        for (let j = 0; j < WEAK_VIEW; j++) {
          weak[i * WEAK + j] += (value + style[c]) * this.lossy[c * WEAK_VIEW + j];
        }
        for (let j = 0; j < STRONG; j++)
          strong[i * STRONG + j] += (value + 0.5 * style[c]) * this.view[c * STRONG + j];
      }
      for (let j = 0; j < CODE; j++) {
        weak[i * WEAK + WEAK_VIEW + j] = code[labels[i] * CODE + j] + noise[i * CODE + j];
      }
      for (let j = 0; j < STRONG; j++) strong[i * STRONG + j] = Math.max(0, strong[i * STRONG + j]);
    }
    return { labels, weak, strong };
  }
}
