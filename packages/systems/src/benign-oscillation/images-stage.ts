import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, defineStage } from "outgrow";
import { z } from "zod";
import { imageFields } from "./cells.js";
import { drawTwoPartImages, ImageMlp } from "./images.js";
import { blank, type Row } from "./rows.js";

/** Share of training images without bars, as on the card. */
const WITHOUT_BARS = 0.1;
/** Logit from which a run counts as diverged. */
const DIVERGED = 1e6;

/** Networks on images of an easy and a faint half, at several rates: exploratory, no theorem speaks of them. */
export const imagesStage = defineStage({
  name: "benign-oscillation/images",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({ seed: z.int(), ...imageFields }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { seed, rates, width, matched } = config;
    const draw = (name: string, count: number, withoutBars: number) =>
      drawTwoPartImages(count, withoutBars, `benign-oscillation ${seed} ${name}`);
    const train = draw("train", config.train, WITHOUT_BARS);
    const [weak, strong] = [draw("weak", config.test, 1), draw("strong", config.test, 0)];
    const random = createRandom(seed).stream("benign-oscillation images");
    const rows: Row[] = [];
    const { small, large } = matched;
    const runs = [
      ...rates.map((rate) => ({ cell: "same steps", rate, steps: config.steps })),
      {
        cell: `same sum of rates as ${large}`,
        rate: small,
        steps: Math.round((config.steps * large) / small),
      },
    ];
    for (const [i, { cell, rate, steps }] of runs.entries()) {
      signal.throwIfAborted();
      const network = new ImageMlp(train.images[0].length, width, random.stream("weights"));
      const order = random.stream("order");
      let divergedAt: number | null = null;
      let epoch = order.permutation(config.train);
      for (let step = 0; step < steps && divergedAt === null; step++) {
        const place = step % config.train;
        if (place === 0 && step > 0) epoch = order.permutation(config.train);
        const margin = network.step(train.images[epoch[place]], train.labels[epoch[place]], rate);
        if (!(Math.abs(margin) <= DIVERGED)) divergedAt = step;
      }
      const accuracy = (images: typeof train) => (divergedAt === null ? network.accuracy(images) : 0);
      rows.push({
        ...blank,
        part: "images",
        cell,
        rate,
        steps,
        weakAccuracy: accuracy(weak),
        strongAccuracy: accuracy(strong),
        trainAccuracy: accuracy(train),
        divergedAt,
        diverged: Number(divergedAt !== null),
      });
      progress((i + 1) / runs.length);
      await new Promise(setImmediate);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});
