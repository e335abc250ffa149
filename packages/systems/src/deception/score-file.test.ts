import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readPairScores } from "./score-file.js";
import { deceptionScores } from "./scores.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-scores-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(content: string, name: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}
const header = "id,y,p_weak,p_ceiling,p_nc,p_conflict";
const rows = ["a,1,0.6,0.9,0.8,0.2", "b,0,0.1,0.1,0.2,0.9", "c,1,0.9,0.9,0.9,0.9"];

test("CSV and JSONL give the same pairs, and these their scores", async () => {
  const csv = await readPairScores(await file([header, ...rows].join("\n"), "scores.csv"));
  const objects = rows.map((row) => {
    const [id, ...values] = row.split(",");
    return JSON.stringify(
      Object.fromEntries(header.split(",").map((name, i) => [name, i === 0 ? id : Number(values[i - 1])])),
    );
  });
  expect(await readPairScores(await file(objects.join("\n"), "scores.jsonl"))).toEqual(csv);
  expect(csv.ids).toEqual(["a", "b", "c"]);
  const { conflictTax, deceptionScore, reliable } = deceptionScores(csv.scores, { threshold: 0.75 });
  expect(conflictTax).toBeCloseTo(2 / 3, 12);
  expect(deceptionScore.value).toBe(1 / 2);
  expect(reliable).toBe(false);
});

test.each([
  ["a missing column", "id,y,p_weak,p_ceiling,p_nc\na,1,1,1,1", /no column "p_conflict"/],
  ["a misspelt column", `${header.replace("p_nc", "p_cn")}\n${rows[0]}`, /did you mean "p_cn"/i],
  ["no id", `${header}\n,1,1,1,1,1`, /row 2, column id.*has no id/s],
  ["an id twice", [header, rows[0], rows[1], rows[0]].join("\n"), /row 4, column id.*"a" comes twice/s],
  ["no truth", `${header}\na,0.5,1,1,1,1`, /column y: y is "0.5", expected 0 or 1/],
  ["a margin for a probability", `${header}\na,1,1,1,1,-2.5`, /p_conflict is "-2.5", expected a probability/],
  ["an empty value", `${header}\na,1,1,,1,1`, /p_ceiling is "", expected/],
  ["NaN", `${header}\na,1,NaN,1,1,1`, /p_weak is "NaN", expected/],
])("%s is refused, with its place", async (name, content, message) => {
  const path = await file(content, `${name}.csv`);
  const error = await readPairScores(path).then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  const {
    message: text,
    place,
    hint,
  } = error as Error & {
    place?: { row?: number; column?: string };
    hint?: string;
  };
  expect(`row ${place?.row}, column ${place?.column}: ${text} ${hint}`).toMatch(message);
});
