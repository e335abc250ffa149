import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Array as JaxArray, nn } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  type Columns,
  compileRows,
  createRandom,
  createTrainer,
  defineStage,
  initMlp,
  type MlpParams,
} from "outgrow";
import { adversarialMargins } from "./adversarial.js";
import { schema } from "./fields.js";
import { drawGlyphs, flipLabels } from "./glyphs.js";
import { glyphsOf } from "./linear-stage.js";
import { blank, type Row } from "./rows.js";

/** Networks of one seed under several weight decays, and how far the test images are from their boundaries. */
export const networkStage = defineStage({
  name: "boundary-tilting/network",
  version: 1,
  code: import.meta.url,
  config: schema.pick({
    seed: true,
    pairs: true,
    size: true,
    train: true,
    validation: true,
    test: true,
    flips: true,
    network: true,
  }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { seed, network, size } = config;
    const [pair] = config.pairs;
    const random = createRandom(seed).stream("boundary-tilting");
    const draw = (name: string, count: number) => {
      const images = drawGlyphs(glyphsOf(pair), count, size, `boundary-tilting ${seed} ${pair} ${name}`);
      return { x: stacked(images.points), truth: images.truth };
    };
    const train = draw("train", config.train);
    const labels = flipLabels(train.truth, config.flips, random.stream("flips", pair));
    const held = { validation: draw("validation", config.validation), test: draw("test", config.test) };
    const columns: Columns = { x: train.x, y: oneHot(labels) };
    const params = initMlp(
      { inputSize: size * size, hidden: [network.width], outputSize: 2 },
      random.stream("network"),
    );
    const rows: Row[] = [];
    for (const decay of network.decays) {
      const trainer = await createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
        name: "glyph network",
        params,
        columns,
        batchSize: network.batchSize,
        optimizer: { weightDecay: decay },
        loss: (traced, { x, y }) => nn.logSoftmax(applyMlp(traced, x)).mul(y).sum(1).neg().mean(),
      });
      const { epochs, learningRate } = network;
      const fitted = await trainer
        .fit(params, columns, { epochs, learningRate, random: random.stream("order"), signal })
        .finally(() => trainer.dispose());
      const classifier = { params: fitted.params, logits: applyMlp };
      const test = await adversarialMargins(classifier, held.test.x, classesOf(held.test.truth));
      const logits = await compileRows<MlpParams<Tensor>, MlpParams<JaxArray>>(
        "glyph logits",
        (traced, { x }) => applyMlp(traced, x),
        fitted.params,
        { x: held.validation.x },
      );
      const { data } = await logits(fitted.params, { x: held.validation.x }).finally(() => logits.dispose());
      const scores = data as Float32Array;
      const wrong = held.validation.truth.filter(
        (sign, row) => !((scores[2 * row + 1] - scores[2 * row]) * sign > 0),
      );
      rows.push({
        ...blank,
        part: "network",
        pair,
        flips: config.flips > 0,
        size,
        classifier: "network",
        decay,
        validationError: wrong.length / held.validation.truth.length,
        testError: test.correct.filter((value) => value === 0).length / test.correct.length,
        linearised: test.meanLinearised,
        boundary: test.meanBoundary,
      });
      progress(rows.length / network.decays.length);
    }
    const best = rows.reduce((a, b) => ((b.validationError ?? 1) <= (a.validationError ?? 1) ? b : a));
    const chosen = rows.map((row) => ({ ...row, chosen: row === best }));
    await writeFile(join(folder, "rows.json"), JSON.stringify(chosen));
  },
});

const classesOf = (signs: Int8Array) => Int8Array.from(signs, (sign) => Number(sign > 0));
const oneHot = (signs: Int8Array) =>
  new Tensor(
    Float32Array.from({ length: signs.length * 2 }, (_, k) => Number(signs[k >> 1] > 0 === (k % 2 === 1))),
    [signs.length, 2],
  );

function stacked(points: readonly Float64Array[]): Tensor {
  const data = new Float32Array(points.length * points[0].length);
  points.forEach((point, row) => {
    data.set(point, row * point.length);
  });
  return new Tensor(data, [points.length, points[0].length]);
}
