import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as outgrow from "outgrow";
import { afterAll, expect, test } from "vitest";
import * as deception from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/deception.md", import.meta.url)),
  "utf8",
);
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(([, code]) => code);
const [fromFile, ofPairs, languageModels] = blocks("ts");

const folder = await mkdtemp(join(tmpdir(), "outgrow-page-"));
afterAll(() => rm(folder, { recursive: true }));

/** What an example prints; the files that it names lie in `folder`. Only this page's own text is run. */
async function printed(example: string): Promise<unknown[][]> {
  const body = example
    .replaceAll(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/g, "const $1 = systems;")
    .replaceAll(/import (\{[\s\S]*?\}) from "outgrow";/g, "const $1 = outgrow;")
    .replaceAll(/"([\w.]+\.(?:csv|jsonl))"/g, (_, name) => JSON.stringify(join(folder, name)));
  const lines: unknown[][] = [];
  const run = new Function("systems", "outgrow", "console", `return (async () => {${body}})();`);
  await run({ deception }, outgrow, { log: (...values: unknown[]) => lines.push(values) });
  return lines;
}

test("scores of a file are what the page says", async () => {
  await writeFile(join(folder, "scores.csv"), blocks("csv")[0]);
  const [line] = await printed(fromFile);
  expect(fromFile).toContain(`// ${line.join(" ")}`);
});

test("reward models on pairs of one's own print counts, accuracies and scores", async () => {
  const random = outgrow.createRandom("page");
  const reply = (...words: string[]) =>
    [...words, ...Array.from({ length: 4 }, () => `w${random.integer(20)}`)].join(" ");
  const rows = Array.from({ length: 400 }, (_, i) => ({
    prompt: "May I?",
    chosen: reply(i % 2 === 0 ? "no" : "please"),
    rejected: reply(i % 2 === 0 ? "yes" : "now"),
    objective: i < 300 ? "harmlessness" : "helpfulness",
  }));
  await writeFile(join(folder, "pairs.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const [[counts, dropped, accuracy], ...scores] = await printed(ofPairs);
  expect(counts).toEqual({ supervision: 100, transfer: 100, helpfulness: 100, test: 100 });
  expect(dropped).toEqual({ empty: 0, equal: 0 });
  expect(Object.keys(accuracy as object)).toContain("ceiling");
  expect(scores.slice(0, 3).map(([name]) => name)).toEqual(["explicit", "other seed", "implicit"]);
});

test("a language model prefers what it was taught", async () => {
  const [[labels]] = await printed(languageModels);
  expect([...(labels as Float32Array)]).toEqual([1, 1, 1, 1]);
});

test("all names on the page are there", () => {
  const named = [...page.matchAll(/`([a-zA-Z]{6,})(?:\(|`)/g)].map(([, name]) => name);
  const names = named.filter((name) => /Models$|Pairs$|Scores$|Probabilities$/.test(name));
  expect(names.length).toBeGreaterThan(4);
  const here: Record<string, unknown> = { ...outgrow, ...deception };
  for (const name of names) if (name !== "LabelledPairs") expect(here, name).toHaveProperty(name);
});
