import { type Canvas, FONT, type Layer, type LegendItem, legend, plot } from "./canvas.js";
import { textWidth, wrapText } from "./text.js";
import { colour, type SeriesStyle } from "./theme.js";
import { axisAround, niceTicks, tickLabel } from "./ticks.js";

/** One horizontal interval; without a mean nothing is drawn, without ends only the mean. */
export interface ForestMark {
  low: number | null;
  mean: number | null;
  high: number | null;
  style: SeriesStyle;
  /** Whether the symbol is an outline. */
  hollow?: boolean;
}

export interface ForestRow {
  group?: string;
  label: string;
  /** Drawn below each other within the row. */
  marks: ForestMark[];
  /** Drawn in place of the intervals. */
  note?: string;
  /** Written at the right, where there is room. */
  value?: string;
}

export interface Forest {
  rows: ForestRow[];
  /** Axis label with its unit. */
  axis: string;
  /** Vertical lines with a meaning; they are always inside the axis. */
  references?: { at: number; label: string }[];
  /** Ends that the quantity cannot pass, in its unit. */
  bounds?: [number, number];
  legend?: LegendItem[];
}

interface PlacedRow extends ForestRow {
  lines: string[];
  y: number;
}

interface Block {
  header: string[];
  headerY: number;
  rows: PlacedRow[];
  top: number;
  bottom: number;
}

const LINE = 14;
const AXIS_HEIGHT = 44;

/** A forest plot: one row per label, grouped under headings, on a common axis that holds every interval whole. */
export function forest(canvas: Canvas, content: Forest): Layer[] {
  const { Plot, width, compact } = canvas;
  const layers = content.legend ? [legend(canvas, content.legend)] : [];
  const ends = content.rows.flatMap((row) => row.marks.flatMap((mark) => [mark.low, mark.mean, mark.high]));
  const references = content.references ?? [];
  const [low, high] = axisAround([...ends, ...references.map(({ at }) => at)], content.bounds);
  const ticks = niceTicks(low, high, compact ? 4 : 6);
  const tickNames = ticks.map(tickLabel(ticks));

  const names = content.rows.map((row) => wrapText(row.label, width * (compact ? 0.4 : 0.34), FONT));
  const left = Math.ceil(Math.max(...names.flat().map((line) => textWidth(line, FONT)), 40)) + 14;
  const values = compact ? [] : content.rows.map((row) => row.value ?? "");
  const right = Math.ceil(
    Math.max(
      ...tickNames.map((name) => textWidth(name, FONT) / 2 + 4),
      ...values.map((value) => textWidth(value, FONT - 1) + 18),
    ),
  );
  const pixel = (value: number) => left + ((value - low) / (high - low)) * (width - left - right);

  const labels = placeLabels(references, pixel, width);
  const levels = Math.max(0, ...labels.map((label) => label.level + 1));
  const top = levels * LINE + (levels > 0 ? 8 : 2);
  const blocks = placeBlocks(content.rows, names, width, top);
  const rows = blocks.flatMap((block) => block.rows);
  const bottom = blocks.length > 0 ? blocks[blocks.length - 1].bottom : top;
  const marks = rows.flatMap((row) => placeMarks(row));
  const notes = rows.filter((row) => row.note !== undefined);
  const grid = { stroke: colour("grid"), strokeWidth: 1 };
  const right0 = width - right;

  const node = plot(canvas, {
    width,
    height: bottom + AXIS_HEIGHT,
    marginLeft: left,
    marginRight: right,
    marginTop: top,
    marginBottom: AXIS_HEIGHT,
    x: { domain: [low, high] },
    y: { type: "identity" },
    marks: [
      blocks.map((block) => Plot.ruleX(ticks, { ...grid, y1: block.top, y2: block.bottom })),
      Plot.ruleY(rows, { ...grid, y: "y", strokeOpacity: 0.55 }),
      Plot.ruleX(labels, {
        x: "at",
        y1: (label) => (levels - label.level) * LINE + 2,
        y2: bottom,
        stroke: colour("muted"),
        strokeWidth: 1.5,
        strokeDasharray: "4 3",
        className: "fig-reference",
      }),
      blocks.map((block) =>
        Plot.text([block], {
          text: (each) => each.header.join("\n"),
          y: "headerY",
          frameAnchor: "left",
          textAnchor: "start",
          lineAnchor: "top",
          lineHeight: LINE / FONT,
          dx: -left,
          fontWeight: "bold",
          ...halo("ink"),
        }),
      ),
      Plot.ruleY(marks, {
        x1: "low",
        x2: "high",
        y: "y",
        stroke: "stroke",
        strokeWidth: 2.5,
        className: "fig-interval",
      }),
      ["low", "high"].map((end) =>
        Plot.ruleX(marks, { x: end, y1: (mark) => mark.y - 4, y2: (mark) => mark.y + 4, stroke: "stroke" }),
      ),
      Plot.dot(marks, {
        x: "mean",
        y: "y",
        fill: "fill",
        stroke: "stroke",
        strokeWidth: 1.5,
        symbol: "symbol",
        r: 3.75,
        className: "fig-mean",
      }),
      Plot.text(notes, {
        text: "note",
        y: "y",
        frameAnchor: "left",
        dx: 6,
        textAnchor: "start",
        ...halo("muted"),
      }),
      rows.map((row) =>
        Plot.text([row], {
          text: (each) => each.lines.join("\n"),
          y: "y",
          frameAnchor: "left",
          dx: -10,
          textAnchor: "end",
          lineHeight: LINE / FONT,
          fill: colour("ink"),
        }),
      ),
      Plot.text(compact ? [] : rows, {
        text: "value",
        y: "y",
        frameAnchor: "right",
        dx: 14,
        textAnchor: "start",
        fontSize: FONT - 1,
        fontVariant: "tabular-nums",
        fill: colour("muted"),
      }),
      labels.map((label) =>
        Plot.text([label], {
          text: (each) => each.label,
          x: "at",
          dx: label.centre - pixel(label.at),
          frameAnchor: "top",
          dy: (levels - label.level) * LINE - top,
          lineAnchor: "bottom",
          ...halo("muted"),
        }),
      ),
      Plot.axisX(ticks, { tickFormat: (_, index) => tickNames[index], tickSize: 4, label: null }),
      Plot.text([centredLabel(content.axis, left, right0, width)], {
        text: (each) => each.text,
        frameAnchor: "bottom",
        dx: centredLabel(content.axis, left, right0, width).shift,
        dy: AXIS_HEIGHT - 4,
        lineAnchor: "bottom",
        fill: colour("ink"),
      }),
    ],
  });
  return [...layers, { node, x: 0, y: layers[0]?.height ?? 0, height: bottom + AXIS_HEIGHT }];
}

/** An axis label under the middle of the frame, moved sideways when it would leave the picture. */
function centredLabel(text: string, left: number, right: number, width: number) {
  const [line] = wrapText(text, width, FONT, 1);
  const half = textWidth(line, FONT) / 2;
  const middle = (left + right) / 2;
  return { text: line, shift: Math.min(Math.max(middle, half), width - half) - middle };
}

function halo(ink: "ink" | "muted") {
  return { fill: colour(ink), stroke: colour("paper"), strokeWidth: 5 };
}

/** Labels of reference lines, centred on their line where possible; one that would touch another goes a level up. */
function placeLabels(
  references: { at: number; label: string }[],
  pixel: (at: number) => number,
  width: number,
) {
  const placed: { at: number; label: string; centre: number; half: number; level: number }[] = [];
  for (const { at, label } of [...references].sort((a, b) => a.at - b.at)) {
    const half = textWidth(label, FONT) / 2 + 3;
    const centre = Math.min(Math.max(pixel(at), half), width - half);
    const touches = (level: number) =>
      placed.some((other) => other.level === level && Math.abs(other.centre - centre) < other.half + half);
    let level = 0;
    while (touches(level)) level++;
    placed.push({ at, label, centre, half, level });
  }
  return placed;
}

function placeBlocks(rows: ForestRow[], names: string[][], width: number, top: number): Block[] {
  const blocks: Block[] = [];
  let y = top;
  for (const group of new Set(rows.map((row) => row.group ?? ""))) {
    if (blocks.length > 0) y += 8;
    const header = group === "" ? [] : wrapText(group, width / 1.12, FONT);
    const headerY = y;
    y += header.length * LINE + (header.length > 0 ? 5 : 0);
    const block: Block = { header, headerY, rows: [], top: y, bottom: y };
    rows.forEach((row, index) => {
      if ((row.group ?? "") !== group) return;
      const height = Math.max(names[index].length * LINE + 8, row.marks.length * 11 + 6, 22);
      block.rows.push({ ...row, lines: names[index], y: y + height / 2 });
      y += height;
    });
    block.bottom = y;
    blocks.push(block);
  }
  return blocks;
}

function placeMarks(row: PlacedRow) {
  return row.marks.flatMap(({ low, mean, high, style, hollow }, index) => {
    if (mean === null || !Number.isFinite(mean)) return [];
    const whole = low !== null && high !== null && Number.isFinite(low) && Number.isFinite(high);
    const stroke = colour(style.colour);
    return {
      mean,
      low: whole ? low : mean,
      high: whole ? high : mean,
      y: row.y + (index - (row.marks.length - 1) / 2) * 11,
      stroke,
      fill: hollow ? colour("paper") : stroke,
      symbol: style.symbol,
    };
  });
}
