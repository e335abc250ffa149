import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createRandom } from "outgrow";
import { afterAll, expect, test } from "vitest";
import * as weakProxies from "./index.js";

const page = await readFile(
  fileURLToPath(new URL("../../../../docs/systems/weak-proxies.md", import.meta.url)),
  "utf8",
);
const folder = await mkdtemp(join(tmpdir(), "outgrow-page-"));
afterAll(() => rm(folder, { recursive: true }));

/** Predictions with a gap of 0.3, proxies that err in 0.25 of the rows. */
function rows(count: number, first = 0): string {
  const random = createRandom("page");
  const lines = Array.from({ length: count }, () => {
    const group = random.integer(2);
    const predicted = Number(random.uniform() < (group ? 0.6 : 0.3));
    const truth = random.uniform() < 0.8 ? predicted : 1 - predicted;
    const proxies = [0, 1, 2].map(() => first + (random.uniform() < 0.25 ? 1 - group : group));
    return [predicted, truth, ...proxies, first + group].join(",");
  });
  return `y_pred,y_true,proxy_1,proxy_2,proxy_3,true_attr\n${lines.join("\n")}\n`;
}

test("the page's example measures a file", async () => {
  const file = join(folder, "audit.csv");
  await writeFile(file, rows(6000));
  const code = (page.match(/```ts\n([\s\S]*?)```/) as RegExpMatchArray)[1];
  const body = code
    .replace(/import (\{[\s\S]*?\}) from "@outgrow\/systems";/, "const $1 = systems;")
    .replace('"audit.csv"', JSON.stringify(file));
  const lines: unknown[][] = [];
  // Only this page's own text is run.
  const run = new Function("systems", "console", `return (async () => {${body}})();`);
  await run({ weakProxies }, { log: (...values: unknown[]) => lines.push(values) });
  const [base, global, , measured] = lines[0] as number[];
  expect(base).toBeLessThan(0.65 * measured);
  expect(Math.abs(global - measured)).toBeLessThan(0.06);
});

test("a file whose groups count from 1 gives the same gaps, the recorded group's too", async () => {
  const [zero, one] = [join(folder, "zero.csv"), join(folder, "one.csv")];
  await writeFile(zero, rows(400));
  await writeFile(one, rows(400, 1));
  const options = { rounds: 2, steps: 20 };
  const [a, b] = [
    await weakProxies.fairnessOfFile(zero, options),
    await weakProxies.fairnessOfFile(one, options),
  ];
  expect(b.measured).toEqual(a.measured);
  expect(b.gaps.base).toEqual(a.gaps.base);
});

test("a value that is no group is refused with its place", async () => {
  const file = join(folder, "bad.csv");
  await writeFile(file, rows(30).replace(/\n(\d),(\d),\d,/, "\n$1,$2,x,"));
  await expect(weakProxies.fairnessOfFile(file)).rejects.toMatchObject({
    message: expect.stringContaining('not "x"'),
    place: { row: 2, column: "proxy_1" },
  });
});

test("a penalty that is paid for keeps the model from the gap", async () => {
  const random = createRandom("penalty");
  const count = 1500;
  const group = Int32Array.from({ length: count }, () => random.integer(2));
  const features = Float32Array.from(group, (a) => a - 0.5 + 0.5 * random.normal());
  const labels = Int32Array.from(features, (x) => Number(x + 0.5 * random.normal() > 0));
  const weights = Float64Array.from(group, (a) => (a === 1 ? 1 : -1) / (count / 2));
  const share = (strength: number) => {
    const recipe = { steps: 300, learningRate: 0.05 };
    const predicted = weakProxies.trainWithPenalty(
      { features, width: 1, labels },
      weights,
      strength,
      recipe,
    )(features);
    return Math.abs((predicted as Int32Array).reduce((sum, k, i) => sum + weights[i] * k, 0));
  };
  expect(share(0)).toBeGreaterThan(0.5);
  expect(share(5)).toBeLessThan(0.2);
});
