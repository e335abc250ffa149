import type { StageOutput, Study } from "outgrow";
import { parts, schema } from "./cells.js";
import { claims, controls } from "./claims.js";
import { figures } from "./figures.js";
import { imagesStage } from "./images-stage.js";
import type { Row } from "./rows.js";
import { oscillationStage } from "./stage.js";

export const benignOscillation: Study<typeof schema, Row> = {
  name: "benign-oscillation",
  title: "Benign oscillation",
  paper: {
    title: "Benign Oscillation of Stochastic Gradient Descent with Large Learning Rates",
    authors: "Lu et al.",
    year: 2023,
    url: "https://arxiv.org/abs/2310.17074",
  },
  family: "theory and robustness",
  summary:
    "SGD at a rate so large that outputs keep oscillating around the label learns a weak feature that a small rate leaves at its start.",
  schema,
  measures: ["weakAccuracy", "strongAccuracy", "trainAccuracy", "oscillating"],
  conditions: ["part", "cell", "kappa", "steps", "rate"],
  seeds: 20,
  groups: [],
  items: [],
  parts,
  claims,
  controls,
  quick: { steps: 3000, test: 200, images: { train: 100, test: 100, steps: 1000 } },
  async run({ images: { every, ...images }, ...config }, { lab, progress, signal }) {
    const stage = progress.begin("trainings");
    const onProgress = (fraction: number, detail?: string) => stage.update(fraction, detail);
    const outputs: StageOutput[] = [];
    const theory = config.parts.filter((part) => part !== "images");
    if (theory.length > 0) {
      outputs.push(await lab.run(oscillationStage, { ...config, parts: theory }, {}, { signal, onProgress }));
    }
    if (config.parts.includes("images") && config.seed % every === 0) {
      outputs.push(await lab.run(imagesStage, { seed: config.seed, ...images }, {}, { signal, onProgress }));
    }
    stage.done();
    return (await Promise.all(outputs.map((output) => output.json<Row[]>("rows.json")))).flat();
  },
  figures,
  notes: [
    "Images: a bar code and a glyph with a tenth of its contrast, the bars missing in 10 % of training images and in all weak test images; an MLP with logistic loss, exploratory, for every second seed (images.every). C11 and C12 are no claims of the paper.",
    "Strong and weak are features here, not models. kappa = 4 · rate · ‖u‖² / m is the control variable: strong points oscillate from 1 on, boundedly up to 1.6. The loss of a point is (f − y)², without 1/2; with one, the same kappa has twice the rate.",
    "The paper's patch layout and constants were not seen: strong points are (y·u, y·v), weak ones (noise, y·v).",
    "Weak accuracy at a small rate is at chance in the mean over seeds; the weak patch's output is decided by the start.",
    "A run that diverges (an output that is not finite or beyond a million) stays in all means with the accuracy 0.",
    "Gradient descent on the mean loss: a class's filters see only that class's strong points, a share of the mean, so that kappa 1.4 acts as about 0.6. `full batch, rate made up` multiplies the rate by 2n / (strong points).",
    "At kappa 0.5 a wrong label multiplies the strong feature's filters of its class by 1 + 0.5 (−1 − 1) = 0 where f = 1: it is wiped out, and the weak feature is all that is left to learn. At kappa 0.1 both stay.",
    "Wrong labels drive the weak feature at a pace of kappa² times their variance, so that a small rate needs more than the same steps.",
    "C9 to C12 are no claims of the paper, and neither is the direction of C8: they were worded after a first look, to say what its card asks to report.",
    "Strong test points have no noise in the layout of two patches: their accuracy is that of two inputs.",
  ],
};
