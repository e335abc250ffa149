import { formatCell, type ReportTable } from "./table.js";
import { displayWidth, pad, plainText, signed, truncate } from "./text.js";
import { niceTicks, tickLabel } from "./ticks.js";

/** Whether to colour what goes to the stream: only on a terminal, and not against the user's `NO_COLOR`. */
export function wantsColour(stream: { isTTY?: boolean } = process.stdout): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR;
}

const BOLD = ["\u001b[1m", "\u001b[22m"] as const;
const DIM = ["\u001b[2m", "\u001b[22m"] as const;

/** The table as aligned lines, without a newline at the end. Columns are as wide as their widest cell. */
export function formatTable(
  table: ReportTable,
  { colour = wantsColour() }: { colour?: boolean } = {},
): string {
  const paint = (text: string, [on, off]: readonly [string, string]) => (colour ? on + text + off : text);
  const cells = table.rows.map((row) => table.columns.map((_, index) => formatCell(row[index])));
  const names = table.columns.map(({ name }) => plainText(name));
  const widths = names.map((name, index) =>
    Math.max(displayWidth(name), ...cells.map((row) => displayWidth(row[index]))),
  );
  const line = (row: string[]) =>
    row
      .map((cell, index) => pad(cell, widths[index], table.columns[index].align))
      .join("  ")
      .trimEnd();
  return [
    paint(plainText(table.title), BOLD),
    ...(table.caption ? [paint(plainText(table.caption), DIM)] : []),
    "",
    line(names),
    paint(widths.map((width) => "─".repeat(width)).join("  "), DIM),
    ...cells.map(line),
  ].join("\n");
}

export interface IntervalRow {
  name: string;
  /** Null where the quantity is undefined. */
  low: number | null;
  mean: number | null;
  high: number | null;
}

export interface IntervalPictureOptions {
  /** Value at the left end of the axis. */
  min: number;
  /** Value at the right end, above `min`. */
  max: number;
  /** Vertical lines with a meaning, e.g. PGR 0 and 1; one outside the axis is left out. */
  marks?: { at: number; label: string }[];
  /** Columns of the whole picture; 80 when absent, never fewer than 40. */
  width?: number;
}

/**
 * Intervals on one axis, as lines of text:
 *
 *                supervisor               ceiling
 *     naive      ┊    ├───●───┤           ┊        0.31 [0.20, 0.42]
 *                └────────────┴───────────┘
 *                0.0         0.5        1.0
 *
 * An interval that leaves the axis ends in `◀` or `▶` at its edge.
 */
export function intervalPicture(rows: IntervalRow[], options: IntervalPictureOptions): string {
  const { min, max, marks = [] } = options;
  const width = Math.max(40, options.width ?? 80);
  const values = rows.map(valueText);
  const valueWidth = Math.max(0, ...values.map(displayWidth));
  const longest = Math.max(4, ...rows.map(({ name }) => displayWidth(plainText(name))));
  const nameWidth = Math.min(longest, Math.max(8, Math.floor(width * 0.3)));
  const columns = Math.max(12, width - nameWidth - valueWidth - 4);
  const column = (value: number) => Math.round(((value - min) / (max - min)) * (columns - 1));
  const shown = marks
    .filter(({ at }) => at >= min && at <= max)
    .map((mark) => ({ ...mark, at: column(mark.at) }));
  const left = " ".repeat(nameWidth + 2);

  const body = rows.map((row, index) => {
    const name = pad(truncate(plainText(row.name), nameWidth), nameWidth);
    return `${name}  ${intervalLine(row, columns, column, shown)}  ${values[index]}`.trimEnd();
  });
  return [
    ...labelLines(shown, columns).map((line) => left + line),
    ...body,
    ...axisLines(min, max, columns).map((line) => left + line),
  ].join("\n");
}

function isDefined(row: IntervalRow): row is IntervalRow & { mean: number } {
  return row.mean !== null && Number.isFinite(row.mean);
}

function valueText(row: IntervalRow): string {
  if (!isDefined(row)) return "undefined";
  const ends = [row.low, row.high].filter((end) => end !== null && Number.isFinite(end)) as number[];
  return ends.length < 2
    ? signed(row.mean)
    : `${signed(row.mean)} [${ends.map((end) => signed(end)).join(", ")}]`;
}

function intervalLine(
  row: IntervalRow,
  columns: number,
  column: (value: number) => number,
  marks: { at: number }[],
): string {
  const line = Array<string>(columns).fill(" ");
  for (const { at } of marks) line[at] = "┊";
  if (!isDefined(row)) return line.join("");
  const low = column(row.low ?? row.mean);
  const high = column(row.high ?? row.mean);
  for (let at = Math.max(0, low); at <= Math.min(columns - 1, high); at++) line[at] = "─";
  if (low !== high && low >= 0 && low < columns) line[low] = "├";
  if (low !== high && high >= 0 && high < columns) line[high] = "┤";
  const mean = column(row.mean);
  if (mean >= 0 && mean < columns) line[mean] = "●";
  if (low < 0) line[0] = "◀";
  if (high >= columns) line[columns - 1] = "▶";
  return line.join("");
}

/** Labels over their marks; one that would touch the label before it goes to a line of its own above. */
function labelLines(marks: { at: number; label: string }[], columns: number): string[] {
  const lines: string[] = [];
  for (const { at, label } of [...marks].sort((a, b) => a.at - b.at)) {
    const shown = truncate(plainText(label), columns);
    const width = displayWidth(shown);
    const start = Math.min(Math.max(0, at - Math.floor(width / 2)), columns - width);
    let level = lines.findIndex((line) => displayWidth(line) < start);
    if (level === -1 || start === 0) level = lines.length;
    lines[level] = pad(lines[level] ?? "", start) + shown;
  }
  return lines.reverse();
}

function axisLines(min: number, max: number, columns: number): [string, string] {
  const ticks = niceTicks(min, max, columns >= 48 ? 6 : 4);
  const show = tickLabel(ticks);
  const axis = ["└", ...Array<string>(columns - 2).fill("─"), "┘"];
  let labels = "";
  for (const tick of ticks) {
    const at = Math.round(((tick - min) / (max - min)) * (columns - 1));
    if (at > 0 && at < columns - 1) axis[at] = "┴";
    const label = show(tick);
    const start = Math.max(0, Math.min(at - Math.floor(label.length / 2), columns - label.length));
    if (labels === "" || start > displayWidth(labels)) labels = pad(labels, start) + label;
  }
  return [axis.join(""), labels];
}
