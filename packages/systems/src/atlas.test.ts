import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { atlasSchema, Lab, meansOf, parseExperiment, report } from "outgrow";
import { afterAll, describe, expect, test } from "vitest";
import { studies } from "./studies.js";

const file = fileURLToPath(new URL("../../../docs/atlas.json", import.meta.url));
if (!existsSync(file)) console.warn("Tests of the atlas are skipped: npm run atlas has not been run.");
const homes: string[] = [];
afterAll(() => {
  for (const home of homes) rmSync(home, { recursive: true });
});

describe.skipIf(!existsSync(file))("docs/atlas.json", () => {
  const atlas = () => atlasSchema.parse(JSON.parse(readFileSync(file, "utf8")));

  test("has all systems, with all their claims and as many seeds as they have by default", () => {
    const { systems } = atlas();
    expect(systems.map(({ name }) => name)).toEqual(studies.map(({ name }) => name));
    systems.forEach((system, i) => {
      expect(system.claims.map(({ id }) => id)).toEqual(studies[i].claims.map(({ id }) => id));
      expect(system.controls.map(({ id }) => id)).toEqual(studies[i].controls.map(({ id }) => id));
      expect(system.seeds.map(({ seed }) => seed)).toEqual(
        Array.from({ length: studies[i].seeds }, (_, seed) => seed),
      );
    });
  });

  test("a sample of it comes out again: one seed of the quickest system", async () => {
    const timeOf = ({ seconds, seeds }: { seconds: number; seeds: unknown[] }) => seconds / seeds.length;
    const [quickest] = atlas().systems.sort((a, b) => timeOf(a) - timeOf(b));
    const study = studies.find(({ name }) => name === quickest.name);
    if (!study) throw new Error(`There is no system "${quickest.name}".`);
    const [{ seed, means }] = quickest.seeds;
    const home = mkdtempSync(join(tmpdir(), "outgrow-atlas-"));
    homes.push(home);
    const lab = new Lab({ home });
    const progress = report.createProgress({ write: () => true });
    const config = parseExperiment(study, { ...quickest.configuration, seed });
    const rows = await study.run(config as never, { lab, progress, signal: new AbortController().signal });
    await lab.close();
    const again = meansOf(rows, study.measures);
    for (const [measure, value] of Object.entries(means)) {
      if (value === null) expect(again[measure]).toBeNull();
      // Another processor may round otherwise, and a training go on from there.
      else
        expect(Math.abs((again[measure] as number) - value)).toBeLessThan(
          0.02 * Math.max(1, Math.abs(value)),
        );
    }
  }, 120_000);
});
