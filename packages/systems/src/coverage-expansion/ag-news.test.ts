/*
 * News items of business and of science and technology: a rule of a few words covers some of them. The representation is learned from
 * the items without labels. There is no paraphraser, so an item's neighbours are the items nearest to it in the representation, and a
 * student counts as fragile on an item if it says something else of the item's title.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { alongComponents, createRandom, type Features, principalComponents, readTable } from "outgrow";
import { describe, expect, test } from "vitest";
import { measureExpansions } from "./measure.js";
import { ABSTAIN, predictClasses, trainOnCovered } from "./method.js";

const file = fileURLToPath(new URL("../../../../../shared/data/ag_news/test.csv", import.meta.url));
const rule = [
  ["oil", "profit", "stocks", "prices", "sales", "shares"],
  ["software", "internet", "computer", "microsoft", "web", "online"],
];
const TERMS = 600;
const [FEWER, MORE] = [24, 96];

const words = (text: string) => text.toLowerCase().match(/[a-z]{2,}/g) ?? [];

function ruleLabel(text: string): number {
  const found = words(text);
  const [business, science] = rule.map((own) => found.filter((word) => own.includes(word)).length);
  return business === science ? ABSTAIN : Number(science > business);
}

function bags(texts: readonly string[], terms: ReadonlyMap<string, number>): Features {
  const columns = texts.map((text) => words(text).flatMap((word) => terms.get(word) ?? []));
  const offsets = new Int32Array(texts.length + 1);
  columns.forEach((own, i) => {
    offsets[i + 1] = offsets[i] + own.length;
  });
  return {
    shape: [texts.length, TERMS],
    values: new Float32Array(offsets[texts.length]).fill(1),
    sparse: { offsets, columns: Int32Array.from(columns.flat()) },
  };
}

/** For each row that `from` takes the nearest by cosine among those that `to` takes. */
function nearest(
  { shape: [rows, width], values }: Features,
  from: (row: number) => boolean,
  to: (row: number, of: number) => boolean,
): Int32Array {
  const cosine = (a: number, b: number) => {
    let [ab, aa, bb] = [0, 0, 0];
    for (let j = 0; j < width; j++) {
      const [x, y] = [values[a * width + j], values[b * width + j]];
      ab += x * y;
      aa += x * x;
      bb += y * y;
    }
    return ab / Math.sqrt(aa * bb || 1);
  };
  return Int32Array.from({ length: rows }, (_, row) => {
    let [best, closest] = [-1, Number.NEGATIVE_INFINITY];
    if (!from(row)) return best;
    for (let other = 0; other < rows; other++) {
      if (!to(other, row)) continue;
      const near = cosine(row, other);
      if (near > closest) [best, closest] = [other, near];
    }
    return best;
  });
}

describe.skipIf(!existsSync(file))("AG News, business and science by a rule of twelve words", () => {
  test("a student of few dimensions copies less of the rule, and bounds hold where there are weak labels", async () => {
    const { rows } = await readTable(file, { header: false });
    const items = rows
      .map(({ values }) => ({
        title: String(values["2"]),
        text: String(values["3"]),
        label: Number(values["1"]) - 3,
      }))
      .filter(({ label }) => label >= 0);
    const random = createRandom("ag-news expansion");
    const order = random.permutation(items.length);
    const half = Math.floor(items.length / 2);
    const [learned, tested] = [order.subarray(0, half), order.subarray(half)].map((part) =>
      Array.from(part, (i) => items[i]),
    );
    const counts = new Map<string, number>();
    for (const { text } of learned) {
      for (const word of new Set(words(text))) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    const frequent = [...counts].sort(([, a], [, b]) => b - a).map(([word]) => word);
    // The most frequent words say little of the topic; those of the rule are kept.
    const kept = new Set([...rule.flat(), ...frequent.slice(60)]);
    const terms = new Map([...kept].slice(0, TERMS).map((word, j) => [word, j]));

    const training = bags(
      learned.map(({ text }) => text),
      terms,
    );
    const components = principalComponents(training, MORE);
    const sample = bags([...tested.map(({ text }) => text), ...tested.map(({ title }) => title)], terms);
    const truth = Int32Array.from([...tested, ...tested], ({ label }) => label);
    const weak = Int32Array.from(truth, (_, row) =>
      row < tested.length ? ruleLabel(tested[row].text) : ABSTAIN,
    );
    const places = alongComponents(components, sample);
    const isSample = (row: number) => row < tested.length;
    const isGood = (row: number) => isSample(row) && weak[row] === truth[row];
    const isBad = (row: number) => isSample(row) && weak[row] === 1 - truth[row];
    const isUncovered = (row: number) => isSample(row) && weak[row] === ABSTAIN;
    const same = (is: (row: number) => boolean) => (row: number, of: number) =>
      row !== of && truth[row] === truth[of] && is(row);
    const neighbours = {
      badToGood: nearest(places, isBad, same(isGood)),
      goodToUncovered: nearest(places, isGood, same(isUncovered)),
      badToUncovered: nearest(places, isBad, same(isUncovered)),
    };
    const measure = (dimensions: number | null, gold = false) => {
      const seen = (features: Features) =>
        dimensions === null ? features : alongComponents(components, features, dimensions);
      const weakLabels = Int32Array.from(learned, ({ text, label }) => (gold ? label : ruleLabel(text)));
      const students = trainOnCovered({ features: seen(training), weakLabels, classes: 2 }, { random });
      const predictions = students.map((student) => predictClasses(student, seen(sample)));
      const accuracy = (wanted: (row: number) => boolean) => {
        const chosen = tested.flatMap((_, row) => (wanted(row) ? row : []));
        const right = predictions.map(
          (own) => chosen.filter((row) => own[row] === truth[row]).length / chosen.length,
        );
        return right.reduce((a, b) => a + b, 0) / right.length;
      };
      const balanced =
        (accuracy((r) => isUncovered(r) && truth[r] === 0) +
          accuracy((r) => isUncovered(r) && truth[r] === 1)) /
        2;
      const covered = accuracy((row) => !isUncovered(row));
      const classes = measureExpansions({
        truth,
        weakLabels: weak,
        classes: 2,
        predictions,
        neighbours,
        sampled: tested.length,
        nearby: { rows: Int32Array.from(tested, (_, row) => tested.length + row), many: 1 },
        dimension: 1 + (dimensions ?? TERMS),
      });
      return { covered, balanced, classes };
    };
    const covered = tested.flatMap((_, row) => (isUncovered(row) ? [] : row));
    const teacher = covered.filter(isGood).length / covered.length;
    const [few, more, all, gold] = [measure(FEWER), measure(MORE), measure(null), measure(FEWER, true)];
    if (process.env.OUTGROW_SHOW) {
      console.log({ coverage: covered.length / tested.length, teacher });
      console.log(JSON.stringify({ few, more, all, gold: { ...gold, classes: [] } }, null, 1));
    }
    expect(teacher).toBeGreaterThan(0.8);
    expect(few.balanced).toBeGreaterThan(more.balanced);
    expect(gold.balanced).toBeGreaterThan(few.balanced);
    for (const { covered: own, bounds, counts } of [few, more, all].flatMap(({ classes }) => classes)) {
      const error = own?.error.worst ?? Number.NaN;
      const doubt = Math.sqrt((error * (1 - error)) / (counts.good + counts.bad));
      expect(error).toBeLessThanOrEqual((bounds.correction.value ?? Number.NaN) + 2 * doubt);
    }
  }, 60_000);
});
