/*
 * News items: weak models learned from short items, some of them with misleading labels; students learn from long ones.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createRandom, readTable, type SoftLabels, trainNgramClassifier } from "outgrow";
import { describe, expect, test } from "vitest";
import { trainRaven } from "./method.js";

const file = fileURLToPath(new URL("../../../../../shared/data/ag_news/test.csv", import.meta.url));
const CLASSES = 4;
const TERMS = 400;

describe.skipIf(!existsSync(file))("AG News, from short items to long ones", () => {
  test("weights find the weak model of clean labels, and its student is better than that of equal weights", async () => {
    const { rows } = await readTable(file, { header: false });
    const random = createRandom("ag-news");
    const items = rows.map(({ values }) => ({
      text: `${values["2"]} ${values["3"]}`,
      label: Number(values["1"]) - 1,
    }));
    const byLength = items.map(({ text }) => text.length).sort((a, b) => a - b);
    const third = byLength[Math.floor(items.length / 3)];
    const twoThirds = byLength[Math.floor((2 * items.length) / 3)];
    const short = items.filter(({ text }) => text.length < third);
    const long = items.filter(({ text }) => text.length > twoThirds);
    const target = { learn: long.slice(0, 1600), test: long.slice(1600) };

    // Each source has 300 short items; in two of them most labels of two topics are exchanged.
    const weak = [0, 0.8, 0.8].map((exchanged, m): SoftLabels => {
      const own = random.stream("source", m);
      const pairs = [
        [0, 1],
        [2, 3],
        [1, 2],
      ][m];
      const source = Array.from(own.permutation(short.length).subarray(0, 300), (i) => short[i]);
      const labels = Int32Array.from(source, ({ label }) =>
        pairs.includes(label) && own.uniform() < exchanged ? pairs[0] + pairs[1] - label : label,
      );
      const model = trainNgramClassifier({ texts: source.map(({ text }) => text), labels, classes: CLASSES });
      return model.predict(target.learn.map(({ text }) => text));
    });

    const words = (text: string) => text.toLowerCase().match(/[a-z]{3,}/g) ?? [];
    const counts = new Map<string, number>();
    for (const { text } of target.learn)
      for (const word of new Set(words(text))) counts.set(word, (counts.get(word) ?? 0) + 1);
    const terms = new Map(
      [...counts]
        .sort(([, a], [, b]) => b - a)
        .slice(40, 40 + TERMS)
        .map(([word], j) => [word, j]),
    );
    const features = (texts: { text: string }[]) => {
      const values = new Float32Array(texts.length * TERMS);
      texts.forEach(({ text }, i) => {
        for (const word of words(text)) {
          const j = terms.get(word);
          if (j !== undefined) values[i * TERMS + j] = 1;
        }
      });
      return values;
    };
    const given = { features: features(target.learn), width: TERMS, weak };
    const testFeatures = features(target.test);
    const accuracy = (weightRate: number, easyShare: number) => {
      const student = trainRaven(given, { random, weightRate, easyShare, epochs: 20, learningRate: 0.01 });
      const predicted = student.predict(testFeatures);
      const right = predicted.filter((k, i) => k === target.test[i].label).length / predicted.length;
      return { right, weights: student.weights };
    };
    const [learned, equal] = [accuracy(0.01, 0.3), accuracy(0, 0)];
    if (process.env.OUTGROW_SHOW) console.log(learned, equal);
    expect(learned.weights[0]).toBe(Math.max(...learned.weights));
    expect(learned.right).toBeGreaterThan(equal.right);
  });
});
