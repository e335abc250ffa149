import { type Canvas, type Layer, legend, plot } from "./canvas.js";
import { displayWidth, pad } from "./text.js";
import { colour, seriesStyles } from "./theme.js";
import { axisAround, niceTicks, tickLabel } from "./ticks.js";

/** Students of several sizes, each taught by supervisors of several strengths. Accuracies are fractions in [0, 1]. */
export interface StrengthData {
  students: {
    name: string;
    /** What this size reaches on the truth. */
    ceiling?: number;
    points: { supervisor: number; student: number }[];
  }[];
}

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 26, 42];

const boundsOf = ({ students }: StrengthData) => ({
  x: axisAround(students.flatMap(({ points }) => points.map(({ supervisor }) => 100 * supervisor))),
  y: axisAround(
    students.flatMap(({ points, ceiling }) => [
      ...points.flatMap(({ supervisor, student }) => [100 * supervisor, 100 * student]),
      ceiling === undefined ? null : 100 * ceiling,
    ]),
  ),
});

/** A line for each student with its ceiling as a level, over y = x. */
export function strengthLines(canvas: Canvas, data: StrengthData, measure: string): Layer[] {
  const { Plot, width, compact } = canvas;
  const styles = seriesStyles(data.students);
  const styled = data.students.map((each) => ({ ...each, style: styles.get(each.name)! }));
  const key = legend(
    canvas,
    styled.map(({ name, style }) => ({ label: `student ${name}`, line: true, ...style })),
  );
  const { x, y } = boundsOf(data);
  const [from, to] = [Math.max(x[0], y[0]), Math.min(x[1], y[1])];
  const [xTicks, yTicks] = [niceTicks(...x, compact ? 4 : 6), niceTicks(...y, compact ? 5 : 6)];
  const height = (compact ? 270 : 340) + BOTTOM;
  const node = plot(canvas, {
    width,
    height,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: TOP,
    marginBottom: BOTTOM,
    x: { domain: x },
    y: { domain: y },
    marks: [
      Plot.ruleX(xTicks, { stroke: colour("grid") }),
      Plot.ruleY(yTicks, { stroke: colour("grid") }),
      Plot.link(from < to ? [0] : [], {
        x1: from,
        y1: from,
        x2: to,
        y2: to,
        stroke: colour("muted"),
        strokeDasharray: "4 3",
      }),
      styled.map(({ points, ceiling, style }) => {
        const at = {
          x: (point: (typeof points)[number]) => 100 * point.supervisor,
          y: (point: (typeof points)[number]) => 100 * point.student,
          stroke: colour(style.colour),
        };
        const sorted = [...points].sort((a, b) => a.supervisor - b.supervisor);
        return [
          Plot.ruleY(ceiling === undefined ? [] : [100 * ceiling], {
            stroke: colour(style.colour),
            strokeDasharray: "1 4",
            strokeWidth: 2,
            strokeLinecap: "round",
          }),
          Plot.line(sorted, { ...at, strokeWidth: 1.5 }),
          Plot.dot(sorted, {
            ...at,
            fill: colour(style.colour),
            symbol: style.symbol,
            r: compact ? 3.25 : 4,
          }),
        ];
      }),
      Plot.axisX(xTicks, {
        tickFormat: tickLabel(xTicks),
        tickSize: 4,
        label: `Supervisor's ${measure.toLowerCase()} (%)`,
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.axisY(yTicks, {
        tickFormat: tickLabel(yTicks),
        tickSize: 0,
        label: `Student's ${measure.toLowerCase()} (%)`,
        labelArrow: "up",
        labelOffset: LEFT,
      }),
    ],
  });
  return [key, { node, x: 0, y: key.height, height }];
}

/**
 * The same in lines of text: a letter for each student (`a` the first) at its points, the letter again at the right edge for its
 * ceiling, dots for y = x. Where two fall together the later student is seen.
 */
export function strengthPicture(data: StrengthData, { width = 72, lines = 16 } = {}): string {
  const { x, y } = boundsOf(data);
  const yTicks = niceTicks(...y, 4);
  const label = tickLabel(yTicks);
  const left = Math.max(...yTicks.map((tick) => displayWidth(label(tick)))) + 1;
  const columns = Math.max(20, width - left - 3);
  const place = (value: number, [low, high]: readonly [number, number], steps: number) =>
    Math.round(((value - low) / (high - low)) * (steps - 1));
  const rowOf = (value: number) => lines - 1 - place(value, y, lines);
  const grid = Array.from({ length: lines }, () => Array<string>(columns).fill(" "));
  for (let column = 0; column < columns; column++) {
    const row = rowOf(x[0] + (column / (columns - 1)) * (x[1] - x[0]));
    if (row >= 0 && row < lines) grid[row][column] = "·";
  }
  const edges = Array<string>(lines).fill("");
  data.students.forEach(({ points, ceiling }, i) => {
    const letter = String.fromCharCode(97 + (i % 26));
    for (const { supervisor, student } of points) {
      grid[rowOf(100 * student)][place(100 * supervisor, x, columns)] = letter;
    }
    if (ceiling !== undefined) edges[rowOf(100 * ceiling)] += letter;
  });
  const names = Array<string>(lines).fill("");
  for (const tick of yTicks) names[rowOf(tick)] = label(tick);
  const xTicks = niceTicks(...x, 5);
  const xLabel = tickLabel(xTicks);
  let axis = "";
  for (const tick of xTicks) {
    const start = Math.max(0, place(tick, x, columns) - Math.floor(xLabel(tick).length / 2));
    if (axis === "" || start > axis.length) axis = pad(axis, start) + xLabel(tick);
  }
  return [
    "student's accuracy (%); at the right edge: its ceiling; ····: as its supervisor",
    ...grid.map((row, i) => `${names[i].padStart(left)}│${row.join("")}│${edges[i]}`.trimEnd()),
    `${" ".repeat(left)}└${"─".repeat(columns)}┘`,
    `${" ".repeat(left + 1)}${axis}  supervisor's accuracy (%)`,
    data.students.map(({ name }, i) => `${String.fromCharCode(97 + (i % 26))}: ${name}`).join(", "),
  ].join("\n");
}
