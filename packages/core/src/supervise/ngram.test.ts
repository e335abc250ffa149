import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { ngramClassifier, trainNgramClassifier } from "./ngram.js";
import { collectTerms, termsOf, tfIdf } from "./tf-idf.js";
import { hardLabels, oneHot } from "./weak-labels.js";

describe("terms", () => {
  test("are lower-cased words, digits and pairs of neighbours, in any script", () => {
    expect(termsOf("Don't panic, Köln 42!")).toEqual([
      "don't",
      "panic",
      "köln",
      "42",
      "don't panic",
      "panic köln",
      "köln 42",
    ]);
    expect(termsOf("  … ")).toEqual([]);
  });

  test("enter the vocabulary from two texts on, the most frequent first, up to a limit", () => {
    const texts = ["a b", "a c a", "a b d", "c"];
    expect(collectTerms(texts).terms).toEqual(["a", "a b", "b", "c"]);
    expect(collectTerms(texts, { minDocumentFrequency: 3 }).terms).toEqual(["a"]);
    expect(collectTerms(texts, { maxFeatures: 2 }).terms).toEqual(["a", "a b"]);
    expect(() => collectTerms(["a", "b"])).toThrow("no word occurs in 2 of the 2 texts");
  });

  test("are weighed by (1 + ln count)(ln((1 + n) / (1 + df)) + 1), rows of length 1", () => {
    const vocabulary = collectTerms(["x", "x y", "y", "y", "x"], { minDocumentFrequency: 1 });
    expect(vocabulary.terms).toEqual(["x", "y", "x y"]);
    const { values, sparse, shape } = tfIdf(vocabulary, ["x x y", "unknown", "constructor y"]);
    expect(shape).toEqual([3, 3]);
    expect(sparse?.offsets).toEqual(Int32Array.of(0, 3, 3, 4));
    expect(sparse?.columns).toEqual(Int32Array.of(0, 1, 2, 1));
    const common = Math.log(6 / 4) + 1;
    const raw = [(1 + Math.log(2)) * common, common, Math.log(6 / 2) + 1];
    raw.forEach((weight, j) => {
      expect(values[j]).toBeCloseTo(weight / Math.hypot(...raw), 6);
    });
    expect(values[3]).toBe(1);
  });
});

describe("n-gram classifier", () => {
  const texts = ["good film", "good plot", "a good day", "bad film", "bad plot", "a bad day"];
  const labels = Int32Array.of(1, 1, 1, 0, 0, 0);

  test("learns the words that tell the classes apart, and says which", () => {
    const classifier = trainNgramClassifier({ texts, labels, classes: 2 });
    expect(hardLabels(classifier.predict(["bad bad music", "some good music"]))).toEqual(Int32Array.of(0, 1));
    const [negative, positive] = classifier.describe(1);
    expect(negative).toMatchObject({ class: 0, terms: [{ term: "bad" }] });
    expect(positive).toMatchObject({ class: 1, terms: [{ term: "good" }] });
  });

  test("a text without a known word gets the bias alone", () => {
    const { values } = trainNgramClassifier({ texts, labels, classes: 2 }).predict(["zzz", ""]);
    for (const p of values) expect(p).toBeCloseTo(0.5, 5);
  });

  test("takes its vocabulary from unlabelled text", () => {
    const unlabelled = [...texts, "new words", "new words"];
    const { vocabulary } = trainNgramClassifier({ texts, labels, classes: 2, unlabelled });
    expect(vocabulary.terms).toContain("new words");
  });

  test("one-hot labels give the same bits as hard ones; a stored classifier predicts the same", () => {
    const hard = trainNgramClassifier({ texts, labels, classes: 2 });
    const soft = trainNgramClassifier({ texts, labels: oneHot(labels, 2), classes: 2 });
    expect(soft.fitted).toEqual(hard.fitted);
    expect(ngramClassifier(hard.vocabulary, hard.fitted).predict(texts)).toEqual(hard.predict(texts));
  });

  test("refuses labels that do not fit", () => {
    const train = (labels: Int32Array) => () => trainNgramClassifier({ texts, labels, classes: 2 });
    expect(train(new Int32Array(5))).toThrow("6 texts, but labels of 5");
    expect(train(new Int32Array(6).fill(7))).toThrow("class 7");
  });
});

const agNews = fileURLToPath(new URL("../../../../../shared/data/ag_news/test.csv", import.meta.url));

test("AG News: 300 labelled rows beat 65 % accuracy on the others", (context) => {
  if (!existsSync(agNews)) {
    console.log(`AG News is not at ${agNews}: skipped`);
    context.skip();
  }
  const rows: string[][] = parse(readFileSync(agNews), { relax_quotes: true });
  const order = [...createRandom("AG News rows").permutation(rows.length)];
  const texts = order.map((i) => `${rows[i][1]} ${rows[i][2]}`);
  const truth = Int32Array.from(order, (i) => Number(rows[i][0]) - 1);

  const start = process.cpuUsage();
  const classifier = trainNgramClassifier({
    texts: texts.slice(0, 300),
    labels: truth.slice(0, 300),
    classes: 4,
  });
  const { user, system } = process.cpuUsage(start); // not the clock's time: other tests run beside this one
  const seconds = (user + system) / 1e6;
  const predicted = hardLabels(classifier.predict(texts.slice(300)));
  const accuracy = predicted.filter((label, i) => label === truth[300 + i]).length / predicted.length;
  console.log(
    `AG News, 300 rows: trained in ${seconds.toFixed(2)} s, accuracy ${accuracy.toFixed(3)} on ${predicted.length} others`,
  );
  expect(accuracy).toBeGreaterThan(0.65);
  expect(seconds).toBeLessThan(2);
});
