import { planReproduction, type Study } from "outgrow";
import { describe, expect, test } from "vitest";
import { studies } from "./studies.js";

test("systems have different names", () => {
  expect(new Set(studies.map(({ name }) => name)).size).toBe(studies.length);
});

describe.each(studies.map((study): [string, Study] => [study.name, study]))("%s", (_, study) => {
  test("can be refuted: it has claims and a negative control, each with numbers and a name of its own", () => {
    expect(study.claims.length).toBeGreaterThan(0);
    expect(study.controls.length).toBeGreaterThan(0);
    const all = [...study.claims, ...study.controls];
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
    for (const claim of all) expect(claim.parts.length).toBeGreaterThan(0);
    // A claim of equivalence needs a margin.
    for (const part of all.flatMap(({ parts }) => parts)) {
      if (part.side === "within") expect(part.threshold).toBeGreaterThan(0);
    }
    for (const part of all.flatMap(({ needs }) => needs ?? [])) expect(study.parts).toContain(part);
  });

  test("has complete defaults and a quick size", () => {
    const { runs, claims } = planReproduction(study);
    expect(runs.map(({ config }) => config.seed)).toEqual(Array.from({ length: study.seeds }, (__, i) => i));
    expect(claims.length).toBe(study.claims.length);
    expect(() =>
      planReproduction(study, { seeds: 1, set: study.quick as Record<string, unknown> }),
    ).not.toThrow();
  });

  test("refuses claims that it does not have, with the nearest", () => {
    expect(() => planReproduction(study, { only: ["C99"] })).toThrow(`${study.name} has no claim "C99"`);
    expect(() => planReproduction(study, { set: { seed: 3 } })).toThrow("not set as a field");
  });
});
