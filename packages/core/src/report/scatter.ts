import { type Canvas, type Layer, legend, plot } from "./canvas.js";
import { colour, seriesStyles } from "./theme.js";
import { axisAround, niceTicks, tickLabel } from "./ticks.js";

export interface ScatterData {
  /** What the axes measure. */
  x: string;
  y: string;
  series: { name: string; points: readonly (readonly [x: number, y: number])[] }[];
  /** What the line y = x means; absent: no line. */
  diagonal?: string;
}

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 12, 26, 42];

export function scatterPoints(canvas: Canvas, { x, y, series, diagonal }: ScatterData): Layer[] {
  const { Plot, width, compact } = canvas;
  const styles = seriesStyles(series);
  const key = legend(canvas, [
    ...series.map(({ name }) => ({ label: name, line: false, ...styles.get(name)! })),
    ...(diagonal
      ? [{ label: `dashed: ${diagonal}`, line: false, colour: "muted" as const, symbol: "times" as const }]
      : []),
  ]);
  const points = series.flatMap((each) => each.points);
  const [x1, x2] = axisAround(points.map(([value]) => value));
  const [y1, y2] = axisAround(points.map(([, value]) => value));
  const [from, to] = [Math.max(x1, y1), Math.min(x2, y2)];
  const [xTicks, yTicks] = [niceTicks(x1, x2, compact ? 4 : 6), niceTicks(y1, y2, compact ? 5 : 6)];
  const height = (compact ? 270 : 340) + BOTTOM;
  const node = plot(canvas, {
    width,
    height,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: TOP,
    marginBottom: BOTTOM,
    x: { domain: [x1, x2] },
    y: { domain: [y1, y2] },
    marks: [
      Plot.ruleX(xTicks, { stroke: colour("grid") }),
      Plot.ruleY(yTicks, { stroke: colour("grid") }),
      ...(diagonal && from < to
        ? [
            Plot.link([0], {
              x1: from,
              y1: from,
              x2: to,
              y2: to,
              stroke: colour("muted"),
              strokeDasharray: "4 3",
            }),
          ]
        : []),
      series.map(({ name, points: own }) => {
        const style = styles.get(name)!;
        return Plot.dot(own, {
          x: ([value]) => value,
          y: ([, value]) => value,
          stroke: colour(style.colour),
          fill: colour(style.colour),
          fillOpacity: 0.35,
          strokeOpacity: 0.7,
          symbol: style.symbol,
          r: compact ? 2 : 2.5,
        });
      }),
      Plot.axisX(xTicks, {
        tickFormat: tickLabel(xTicks),
        tickSize: 4,
        label: x,
        labelAnchor: "center",
        labelArrow: "none",
      }),
      Plot.axisY(yTicks, {
        tickFormat: tickLabel(yTicks),
        tickSize: 0,
        label: y,
        labelArrow: "up",
        labelOffset: LEFT,
      }),
    ],
  });
  return [key, { node, x: 0, y: key.height, height }];
}
