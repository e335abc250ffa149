import { describe, expect, it } from "vitest";
import { formatCell } from "./table.js";
import { formatTable, intervalPicture, wantsColour } from "./terminal.js";
import { displayWidth } from "./text.js";

describe("a table", () => {
  const table = {
    title: "PGR",
    columns: [{ name: "method" }, { name: "mean", align: "right" as const }],
    rows: [
      ["naive", 0.31],
      ["弱い教師", -0.1234567],
      ["e\u0301le\u0300ve 🎓", null],
    ],
  };

  it("has its right-aligned column end at the same terminal column in each line", () => {
    const lines = formatTable(table, { colour: false }).split("\n").slice(2);
    expect(new Set(lines.map(displayWidth)).size).toBe(1);
    expect(lines).toEqual([
      "method       mean",
      "────────  ───────",
      "naive        0.31",
      "弱い教師  −0.1235",
      "e\u0301le\u0300ve 🎓        –",
    ]);
  });

  it("passes no escape sequence of a name on to the terminal", () => {
    const hostile = { ...table, title: "\u001b[2J", rows: [["\u001b]0;title\u0007\r\n", 1]] };
    const shown = formatTable(hostile, { colour: false });
    for (const control of ["\u001b", "\u0007", "\r"]) expect(shown).not.toContain(control);
  });

  it("is coloured when asked only", () => {
    expect(formatTable(table, { colour: true })).toContain("\u001b[1mPGR");
    expect(wantsColour({ isTTY: false })).toBe(false);
  });
});

it("a cell shows four significant digits, whole numbers in full and a dash for nothing", () => {
  expect([0.123456, 123456, -1.5, null, Number.NaN].map(formatCell)).toEqual([
    "0.1235",
    "123456",
    "−1.5",
    "–",
    "NaN",
  ]);
});

describe("an interval picture", () => {
  const marks = [
    { at: 0, label: "supervisor" },
    { at: 1, label: "ceiling" },
  ];
  // Names take 4 columns and values 17, which leaves 41 columns: one for each fortieth of the axis.
  const options = { min: -1, max: 3, marks, width: 66 };
  const row = { name: "m", low: 0.5, mean: 1.5, high: 2 };
  const axisOf = (picture: string, line: number) => picture.split("\n")[line].slice(6, 6 + 41);

  it("puts ends, mean and marks at their columns", () => {
    const picture = intervalPicture([row], options);
    const line = axisOf(picture, 1);
    expect(line.indexOf("┊")).toBe(10);
    expect(line.indexOf("├")).toBe(15);
    expect(line.indexOf("●")).toBe(25);
    expect(line.indexOf("┤")).toBe(30);
    expect(picture).toContain("1.50 [0.50, 2.00]");
    expect(axisOf(picture, 0)).toContain("supervisor");
  });

  it("has tick labels below their ticks", () => {
    const [axis, labels] = intervalPicture([row], options).split("\n").slice(2);
    expect(axis.slice(6)).toBe(`└${"─────────┴".repeat(3)}─────────┘`);
    expect(labels.trim().split(/\s+/)).toEqual(["−1", "0", "1", "2", "3"]);
    expect(labels.indexOf("1", 10)).toBe(6 + 20);
  });

  it("points to what lies outside instead of drawing it elsewhere", () => {
    const values = (low: number, mean: number, high: number) => {
      const lines = intervalPicture([{ name: "m", low, mean, high }], options).split("\n");
      return lines[1].slice(6);
    };
    expect(values(-9, 0.5, 1)).toMatch(/^◀─+●─+┤/);
    expect(values(-9, -8, -7)).toMatch(/^◀ /);
    expect(values(0.5, 1, 9)).toMatch(/├─+●─+▶/);
  });

  it("says undefined where there is no mean", () => {
    const picture = intervalPicture([row, { name: "n", low: null, mean: null, high: null }], options);
    expect(picture.split("\n")[2]).toMatch(/^n +┊ +┊ +undefined$/);
  });

  it("gives labels that would touch a line each, and keeps to its width", () => {
    const far = { name: "a name that is far too long for this picture", low: -40, mean: -20, high: 2 };
    const lines = intervalPicture([far], { min: -40, max: 2, marks, width: 60 }).split("\n");
    expect(lines.slice(0, 2).map((line) => line.trim())).toEqual(["ceiling", "supervisor"]);
    for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(60);
  });

  it("refuses an axis without length", () => {
    expect(() => intervalPicture([row], { min: 1, max: 1 })).toThrow(RangeError);
  });
});
