import { type Canvas, FONT, type Layer, legend, plot } from "./canvas.js";
import { textWidth, wrapText } from "./text.js";
import { colour, type Role, seriesStyles } from "./theme.js";
import { axisAround, niceTicks, tickLabel } from "./ticks.js";

export interface SupervisorSeries {
  name: string;
  role: Role;
  /** Fractions in [0, 1] with 95 % intervals. */
  points: { supervisor: string; mean: number | null; low: number | null; high: number | null }[];
}

const MARGIN_LEFT = 42;
const MARGIN_RIGHT = 12;

/** Lines with intervals over ordered supervisors, the legend above them. */
export function accuracyLines(
  canvas: Canvas,
  supervisors: string[],
  series: SupervisorSeries[],
  measure: string,
): Layer[] {
  const { Plot, width, compact } = canvas;
  const styles = seriesStyles(series);
  const styled = series.map((each) => ({ ...each, style: styles.get(each.name)! }));
  const key = legend(
    canvas,
    styled.map(({ name, style }) => ({ label: name, line: true, ...style })),
  );

  const frame = width - MARGIN_LEFT - MARGIN_RIGHT;
  const step = frame / Math.max(1, supervisors.length);
  const shifts = sidewaysShifts(series, Math.min(9, (step * 0.72) / Math.max(1, series.length)));
  const names = supervisorLabels(supervisors, step);
  const ends = series.flatMap(({ points }) => points.flatMap(({ low, mean, high }) => [low, mean, high]));
  const [low, high] = axisAround(
    ends.map((fraction) => fraction && fraction * 100),
    [0, 100],
  );
  const ticks = niceTicks(low, high, compact ? 5 : 6);
  const bottom = names.height + 18;
  const height = (compact ? 250 : 310) + bottom;

  const marks = styled.map(({ points, style }, index) => {
    const stroke = colour(style.colour);
    const shown = supervisors.map((supervisor) => inPercent(points, supervisor));
    const known = shown.filter((point) => Number.isFinite(point.mean));
    const at = { x: "supervisor", dx: shifts[index], stroke } as const;
    return [
      Plot.line(shown, {
        ...at,
        y: "mean",
        strokeWidth: 1.5,
        strokeDasharray: style.dash,
        strokeOpacity: 0.75,
      }),
      Plot.ruleX(known, { ...at, y1: "low", y2: "high", strokeWidth: 1.75, className: "fig-interval" }),
      Plot.dot(known, {
        ...at,
        y: "mean",
        fill: stroke,
        strokeWidth: 1.5,
        symbol: style.symbol,
        r: compact ? 3.25 : 4,
        className: "fig-mean",
      }),
    ];
  });
  const node = plot(canvas, {
    width,
    height,
    marginLeft: MARGIN_LEFT,
    marginRight: MARGIN_RIGHT,
    marginTop: 26,
    marginBottom: bottom,
    x: { type: "point", domain: supervisors, padding: 0.5 },
    y: { domain: [low, high] },
    marks: [
      Plot.ruleY(ticks, { stroke: colour("grid") }),
      Plot.axisY(ticks, {
        tickFormat: tickLabel(ticks),
        tickSize: 0,
        label: `${measure} (%)`,
        labelArrow: "up",
        labelOffset: MARGIN_LEFT,
      }),
      marks,
      Plot.text(supervisors, {
        x: (supervisor) => supervisor,
        text: (_, index) => names.lines[index].join("\n"),
        frameAnchor: "bottom",
        lineAnchor: names.turned ? "middle" : "top",
        textAnchor: names.turned ? "end" : "middle",
        rotate: names.turned ? -90 : 0,
        dy: 10,
        lineHeight: 1.15,
        fill: colour("ink"),
      }),
      Plot.text(["Weak supervisor (weakest → strongest)"], {
        frameAnchor: "bottom",
        lineAnchor: "bottom",
        dy: bottom - 3,
        text: (label) => label,
        fill: colour("ink"),
      }),
    ],
  });
  return [key, { node, x: 0, y: key.height, height }];
}

/** Pixels by which each series is moved: supervisor and ceiling stay on their tick, the others stand on both sides of it. */
function sidewaysShifts(series: SupervisorSeries[], spread: number): number[] {
  const fixed = (role: Role) => role === "weak" || role === "ceiling";
  const moved = series.filter(({ role }) => !fixed(role));
  const places = moved.map((_, index) => index - Math.ceil(moved.length / 2));
  const shifts = places.map((place) => (place < 0 ? place : place + 1) * spread);
  return series.map((each) => (fixed(each.role) ? 0 : shifts[moved.indexOf(each)]));
}

function inPercent(points: SupervisorSeries["points"], supervisor: string) {
  const point = points.find((each) => each.supervisor === supervisor);
  const [mean, low, high] = [point?.mean ?? NaN, point?.low ?? NaN, point?.high ?? NaN];
  const whole = Number.isFinite(low) && Number.isFinite(high);
  return {
    supervisor,
    mean: mean * 100,
    low: (whole ? low : mean) * 100,
    high: (whole ? high : mean) * 100,
  };
}

/** Labels below the axis, broken into lines; upright when even a word is wider than its place. */
function supervisorLabels(supervisors: string[], step: number) {
  const words = supervisors.flatMap((name) => name.split(/\s/));
  const turned = words.some((word) => textWidth(word, FONT) > step - 4);
  const lines = supervisors.map((name) =>
    turned ? wrapText(name, 150, FONT, step < 32 ? 1 : 2) : wrapText(name, step - 4, FONT),
  );
  const longest = Math.max(0, ...lines.flat().map((line) => textWidth(line, FONT)));
  const rows = Math.max(1, ...lines.map((each) => each.length));
  return { lines, turned, height: turned ? Math.ceil(longest) + 16 : rows * 14 + 12 };
}
