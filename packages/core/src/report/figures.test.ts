import { JSDOM } from "jsdom";
import { describe, expect, it } from "vitest";
import type { Figure } from "./canvas.js";
import { exampleAccuracy, exampleFigures, examplePgr, exampleReliability } from "./example.js";
import { accuracyBySupervisor, agreement, leaderboard, pgrByMethod, reliability } from "./figures.js";
import { DARK, LIGHT, seriesStyles } from "./theme.js";

const { window } = new JSDOM("");
const HOSTILE = '</style><script>alert(1)</script>&"\u0000\u001b[31m\ud800';

/** The parsed picture; throws when it is not well-formed XML. */
function parse(svg: string): Document {
  const document = new window.DOMParser().parseFromString(svg, "image/svg+xml");
  if (document.querySelector("parsererror")) throw new Error(document.documentElement.textContent ?? "");
  return document;
}

function numbers(element: Element, ...names: string[]): number[] {
  return names.map((name) => Number(element.getAttribute(name)));
}

/** Maps a value of an axis to its pixel, from the places of its tick labels. */
function axis(document: Document, name: "x" | "y"): (value: number) => number {
  const ticks = [...document.querySelectorAll(`g[aria-label="${name}-axis tick label"] text`)].map((text) => {
    const [x, y] = text
      .getAttribute("transform")!
      .match(/-?[\d.]+/g)!
      .map(Number);
    return { value: Number(text.textContent!.replace("−", "-")), at: name === "x" ? x : y };
  });
  const [first, last] = [ticks[0], ticks[ticks.length - 1]];
  return (value) => first.at + ((value - first.value) / (last.value - first.value)) * (last.at - first.at);
}

describe("PGR by method", () => {
  it("draws each interval from its low to its high end on the labelled axis", async () => {
    const document = parse((await pgrByMethod(examplePgr)).svg);
    const pixel = axis(document, "x");
    const drawn = [...document.querySelectorAll(".fig-interval line")].map((line) =>
      numbers(line, "x1", "x2"),
    );
    const defined = examplePgr.rows.filter((row) => row.mean !== null);
    expect(drawn).toHaveLength(defined.length);
    defined.forEach((row, index) => {
      expect(drawn[index][0]).toBeCloseTo(pixel(row.low!), 1);
      expect(drawn[index][1]).toBeCloseTo(pixel(row.high!), 1);
    });
  });

  it("has reference lines at 0, the supervisor, and 1, the ceiling, even when no interval is near", async () => {
    const row = { group: "g", method: "m", mean: -3, low: -4, high: -2, defined: 5, total: 5 };
    const document = parse((await pgrByMethod({ rows: [row] })).svg);
    const pixel = axis(document, "x");
    const lines = [...document.querySelectorAll(".fig-reference line")];
    expect(lines.map((line) => Math.round(Number(line.getAttribute("x1"))))).toEqual(
      [0, 1].map((value) => Math.round(pixel(value))),
    );
  });

  it("writes an undefined PGR as text and draws no interval for it", async () => {
    const rows = [{ group: "g", method: "m", mean: null, low: null, high: null, defined: 0, total: 5 }];
    const document = parse((await pgrByMethod({ rows })).svg);
    expect(document.documentElement.textContent).toContain("undefined (5 of 5)");
    expect(document.querySelectorAll(".fig-interval line")).toHaveLength(0);
  });

  it("says in how many seeds a partly undefined PGR is defined", async () => {
    const rows = [{ group: "g", method: "m", mean: 0.5, low: 0.4, high: 0.6, defined: 3, total: 5 }];
    expect((await pgrByMethod({ rows })).svg).toContain("m (3 of 5 defined)");
  });

  it("clips nothing: far intervals lie inside the picture, in both layouts", async () => {
    const rows = [{ group: "g", method: "m", mean: -14, low: -31, high: 250, defined: 5, total: 5 }];
    const figure = await pgrByMethod({ rows });
    for (const svg of [figure.svg, figure.inline!, figure.inlineCompact!]) {
      const document = parse(svg);
      const [width] = numbers(document.documentElement, "width");
      const [x1, x2] = numbers(document.querySelector(".fig-interval line")!, "x1", "x2");
      expect(x1).toBeGreaterThan(0);
      expect(x2).toBeGreaterThan(x1);
      expect(x2).toBeLessThan(width);
    }
  });
});

it("accuracy by supervisor draws each interval at its height in per cent", async () => {
  const document = parse((await accuracyBySupervisor(exampleAccuracy)).svg);
  const pixel = axis(document, "y");
  const groups = [...document.querySelectorAll(".fig-interval")];
  expect(groups).toHaveLength(exampleAccuracy.series.length);
  exampleAccuracy.series.forEach(({ points }, series) => {
    const lines = [...groups[series].querySelectorAll("line")].map((line) =>
      numbers(line, "y1", "y2").sort((a, b) => a - b),
    );
    points.forEach((point, index) => {
      const expected = [pixel(point.high! * 100), pixel(point.low! * 100)];
      expect(lines[index].map((y) => y.toFixed(1))).toEqual(expected.map((y) => y.toFixed(1)));
    });
  });
});

it("a series without some supervisor, or without intervals, is drawn as far as it is known", async () => {
  const { svg } = await accuracyBySupervisor({
    supervisors: ["a", "b", "c"],
    series: [{ name: "s", role: "student", points: [{ supervisor: "b", mean: 0.5, low: null, high: null }] }],
  });
  expect(svg).not.toContain("NaN");
  expect(parse(svg).querySelectorAll(".fig-mean > *")).toHaveLength(1);
});

it("agreement shows both halves and leaves out a half without examples", async () => {
  const wrong = { mean: 0.4, low: 0.3, high: 0.5 };
  const rows = [
    { group: "g", method: "m", whenWeakRight: { mean: 0.9, low: 0.85, high: 0.95 }, whenWeakWrong: wrong },
    { group: "g", method: "n", whenWeakRight: null, whenWeakWrong: wrong },
    { group: "g", method: "o", whenWeakRight: null, whenWeakWrong: null },
  ];
  const document = parse((await agreement({ rows })).svg);
  expect(document.querySelectorAll(".fig-interval line")).toHaveLength(3);
  expect(document.documentElement.textContent).toContain("undefined");
});

it("reliability draws bins with examples only, the area in proportion to their number", async () => {
  const bins = [
    { confidence: 0.1, accuracy: null, count: 0 },
    { confidence: 0.5, accuracy: 0.4, count: 100 },
    { confidence: 0.9, accuracy: 0.7, count: 400 },
  ];
  const { svg } = await reliability({ series: [{ name: "m", ece: 0.1234, bins }] });
  const dots = [...parse(svg).querySelectorAll(".fig-bin circle")];
  const radii = dots.map((dot) => Number(dot.getAttribute("r"))).sort((a, b) => a - b);
  expect(radii).toHaveLength(2);
  expect(radii[1] ** 2 / radii[0] ** 2).toBeCloseTo(4, 5);
  expect(svg).toContain("ECE 0.123");
  expect((await reliability(exampleReliability)).caption).toContain("largest: 389");
});

it("the leaderboard has the best first and what has no mean last", async () => {
  const at = (name: string, mean: number | null) => ({
    name,
    role: "student" as const,
    mean,
    low: mean,
    high: mean,
  });
  const { svg } = await leaderboard({ rows: [at("low", 0.2), at("none", null), at("high", 0.9)] });
  const places = ["high", "low", "none"].map((name) => svg.indexOf(`>${name}<`));
  expect(places).toEqual([...places].sort((a, b) => a - b));
});

describe("every figure", () => {
  it("is well-formed, named for readers of the screen, and complete without a page around it", async () => {
    for (const figure of await exampleFigures()) {
      for (const svg of [figure.svg, figure.inline!, figure.inlineCompact!]) {
        const root = parse(svg).documentElement;
        expect(root.namespaceURI).toBe("http://www.w3.org/2000/svg");
        expect(root.getAttribute("role")).toBe("img");
        expect(root.getAttribute("aria-label")).toBe(figure.title);
        expect(root.querySelector("desc")!.textContent).toBe(figure.caption);
        expect(svg).not.toMatch(/NaN|undefined"|Infinity|<style/);
      }
      expect(figure.svg).not.toMatch(/var\(|currentColor/);
      expect(figure.svg).toContain(`<rect width="592"`);
      expect(figure.inline).not.toContain(LIGHT.paper);
    }
  });

  it("keeps hostile names as text", async () => {
    for (const figure of await hostileFigures()) {
      for (const svg of [figure.svg, figure.inline!, figure.inlineCompact!]) {
        const document = parse(svg);
        expect(document.querySelector("script, style")).toBeNull();
        expect(svg).not.toMatch(/<\/style|<script/);
      }
    }
  });

  it("stands without data", async () => {
    const empty = await Promise.all([
      accuracyBySupervisor({ supervisors: [], series: [] }),
      ...[pgrByMethod, agreement, leaderboard].map((figure) => figure({ rows: [] })),
      reliability({ series: [] }),
    ]);
    for (const figure of empty) expect(figure.svg).not.toMatch(/NaN|Infinity/);
  });
});

function hostileFigures(): Promise<Figure[]> {
  const interval = { mean: 0.5, low: 0.4, high: 0.6 };
  const row = { group: HOSTILE, method: HOSTILE, name: HOSTILE, role: "student" as const };
  const text = { title: HOSTILE, caption: HOSTILE, measure: HOSTILE };
  return Promise.all([
    accuracyBySupervisor(
      {
        supervisors: [HOSTILE],
        series: [{ ...row, points: [{ supervisor: HOSTILE, ...interval }] }],
      },
      text,
    ),
    pgrByMethod({ rows: [{ ...row, ...interval, defined: 1, total: 2 }] }, text),
    agreement({ rows: [{ ...row, whenWeakRight: interval, whenWeakWrong: interval }] }, text),
    reliability({ series: [{ name: HOSTILE, ece: 0, bins: [] }] }, text),
    leaderboard({ rows: [{ ...row, ...interval }] }, text),
  ]);
}

describe("the style of a series", () => {
  it("depends on the set of names, not on their order", () => {
    const series = ["zeta", "naive", "alpha", "product"].map((name) => ({ name }));
    const [forwards, backwards] = [seriesStyles(series), seriesStyles([...series].reverse())];
    for (const { name } of series) expect(forwards.get(name)).toEqual(backwards.get(name));
  });

  it("differs between up to 40 methods, and between two controls", () => {
    const methods = Array.from({ length: 40 }, (_, index) => ({ name: `method ${index}` }));
    const controls = ["control a", "control b"].map((name) => ({ name, role: "control" as const }));
    const styles = [...seriesStyles([...methods, ...controls]).values()];
    expect(new Set(styles.map(({ colour, symbol }) => `${colour} ${symbol}`)).size).toBe(42);
  });

  it("knows no method called constructor", () => {
    expect(seriesStyles([{ name: "constructor" }]).get("constructor")!.symbol).toBe("circle");
  });
});

it("text has a contrast of at least 4.5 and symbols one of at least 2 on both backgrounds", () => {
  const luminance = (hex: string) => {
    const [r, g, b] = [1, 3, 5]
      .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  for (const theme of [LIGHT, DARK]) {
    for (const [name, hex] of Object.entries(theme)) {
      if (name === "paper" || name === "grid") continue;
      expect(contrast(hex, theme.paper), name).toBeGreaterThan(name === "ink" || name === "muted" ? 4.5 : 2);
    }
  }
});
