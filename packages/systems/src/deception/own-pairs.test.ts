import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { createRandom, readHhPairs } from "outgrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  deceptionOfPairs,
  hhObjectivePairs,
  type ObjectivePair,
  readObjectivePairs,
  usablePairs,
} from "./own-pairs.js";
import type { Objective } from "./world.js";

const pair = (chosen: string, rejected: string, objective: Objective = "harmlessness"): ObjectivePair => ({
  prompt: "What now?",
  chosen,
  rejected,
  objective,
});

/** Replies of made-up words; those with early letters are kind, with a few rare ones among them, and helpful ones are long. */
function madeUp(count: number, objective: Objective): ObjectivePair[] {
  const random = createRandom(`pairs ${objective}`);
  // Common words say little, so that a model that knows these alone is weak.
  const reply = () =>
    Array.from({ length: 10 }, () => {
      const word = Math.floor(80 * random.integer(1000) ** 2 * 1e-6);
      return { text: `w${word}`, worth: (objective === "harmlessness" ? 1 : -0.5) * Math.sin(word * 7.3) };
    });
  const worth = (words: { worth: number }[]) => words.reduce((sum, word) => sum + word.worth, 0);
  const text = (words: { text: string }[]) => words.map((word) => word.text).join(" ");
  return Array.from({ length: count }, () => {
    const [a, b] = [reply(), reply()];
    return worth(a) >= worth(b) ? pair(text(a), text(b), objective) : pair(text(b), text(a), objective);
  });
}

describe("deception on one's own pairs", () => {
  const pairs = [...madeUp(1800, "harmlessness"), ...madeUp(300, "helpfulness")];
  const options = {
    random: createRandom("own"),
    terms: { weak: 12, strong: 200 },
    recipe: { learningRate: 1e-2, epochs: 5 },
  };

  test("a ceiling that knows more words beats the weak supervisor; all students are measured", async () => {
    const { accuracy, counts, scores, dropped, warnings } = await deceptionOfPairs(
      [...pairs, pair("", "w1"), pair("w1", "w1 ")],
      options,
    );
    expect(dropped).toEqual({ empty: 1, equal: 1 });
    expect(counts).toEqual({ supervision: 600, transfer: 600, helpfulness: 300, test: 600 });
    expect(accuracy.weak).toBeGreaterThan(0.55);
    expect(accuracy.ceiling).toBeGreaterThan(accuracy.weak + 0.08);
    expect(Object.keys(scores)).toEqual(["explicit", "other seed", "implicit"]);
    for (const { deceptionScore, taxed } of Object.values(scores)) {
      expect(deceptionScore.value).not.toBeNull();
      expect(taxed).toBeGreaterThan(0);
    }
    expect(warnings.some((warning) => warning.includes("not clearly better"))).toBe(false);
  });

  test("says so where only chance tells the models apart", async () => {
    const random = createRandom("noise");
    const noise = Array.from({ length: 90 }, () =>
      pair(
        `a w${random.integer(5)} w${random.integer(5)}`,
        `b w${random.integer(5)} w${5 + random.integer(5)}`,
      ),
    ).map((each, i) => (i % 2 === 0 ? each : { ...each, chosen: each.rejected, rejected: each.chosen }));
    const { scores, warnings } = await deceptionOfPairs(noise, { random });
    expect(Object.keys(scores)).toEqual(["explicit", "other seed"]);
    expect(warnings[0]).toContain("is not clearly better than the weak supervisor");
    expect(warnings.at(-1)).toMatch(/"other seed" rests on \d+ pairs/);
  });

  test("few pairs are refused, with what became of the others", async () => {
    const few = [...Array(40).fill(pair("a b", "")), pair("a", "b")];
    await expect(deceptionOfPairs(few, options)).rejects.toMatchObject({
      message: "there are 1 usable harmlessness pairs, expected at least 30",
      hint: "Of 41 pairs, 40 have an empty reply and 0 equal ones.",
    });
  });
});

test("replies that are the same but for spaces, and replies of spaces alone, are dropped and counted", () => {
  const good = pair("yes", "no");
  expect(usablePairs([good, pair(" \n", "no"), pair("yes", ""), pair("yes", " yes")])).toEqual({
    kept: [good],
    dropped: { empty: 2, equal: 1 },
  });
});

describe("files of pairs", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "outgrow-pairs-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("are read, plain or compressed; another objective and missing texts are refused with their place", async () => {
    const rows = [pair("yes", "no"), pair("long", "short", "helpfulness")];
    const text = rows.map((row) => JSON.stringify(row)).join("\n");
    await writeFile(join(folder, "a.jsonl"), text);
    await writeFile(join(folder, "a.jsonl.gz"), gzipSync(text));
    expect(await readObjectivePairs(join(folder, "a.jsonl"))).toEqual({ pairs: rows, damaged: [] });
    expect((await readObjectivePairs(join(folder, "a.jsonl.gz"))).pairs).toEqual(rows);

    const bad = join(folder, "bad.jsonl");
    const { rejected: _, ...short } = rows[0];
    await writeFile(
      bad,
      `${JSON.stringify({ ...rows[0], objective: "harmless" })}\n${JSON.stringify(short)}\n${text}`,
    );
    await expect(readObjectivePairs(bad)).rejects.toMatchObject({
      message: 'objective is "harmless"',
      place: { file: bad, row: 1, column: "objective" },
    });
    const { pairs, damaged } = await readObjectivePairs(bad, { damaged: "skip" });
    expect(pairs).toEqual(rows);
    expect(damaged[1]).toEqual({ row: 2, reason: expect.stringContaining("rejected is missing") });
  });
});

/** 2312 pairs of the HH-RLHF harmlessness test set, where they are. */
const shared =
  process.env.OUTGROW_TEST_DATA ?? fileURLToPath(new URL("../../../../../shared/data", import.meta.url));
const hh = join(shared, "hh_harmless/test.jsonl.gz");

test.skipIf(!existsSync(hh))(
  "harmlessness pairs of HH-RLHF: reward models learn something, empty replies are counted",
  async () => {
    const pairs = hhObjectivePairs(await readHhPairs(hh), "harmlessness");
    const { dropped, counts, accuracy, scores } = await deceptionOfPairs(pairs, {
      random: createRandom(100),
    });
    expect(dropped).toEqual({ empty: 4, equal: 0 });
    expect(counts).toEqual({ supervision: 769, transfer: 769, helpfulness: 0, test: 770 });
    expect(accuracy.ceiling).toBeGreaterThan(0.55);
    expect(scores.explicit.conflictTax).toBeGreaterThan(scores["other seed"].conflictTax);
  },
);
