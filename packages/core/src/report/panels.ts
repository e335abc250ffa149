import { type Canvas, FONT, type Layer, plot } from "./canvas.js";
import { wrapText } from "./text.js";
import { colour, type SeriesStyle, seriesStyles } from "./theme.js";

export interface ReliabilitySeries {
  name: string;
  /** Mean stated confidence and accuracy of the examples in each bin, fractions in [0, 1]; accuracy is null in an empty bin. */
  bins: { confidence: number; accuracy: number | null; count: number }[];
  /** Expected calibration error in [0, 1]. */
  ece: number;
}

const GAP = 14;
const MARGIN = { left: 34, right: 13, bottom: 40 };
const LARGEST_RADIUS = 8;

/** One square panel per series, in rows; each is headed by its name and calibration error. */
export function reliabilityPanels(canvas: Canvas, series: ReliabilitySeries[]): Layer[] {
  const columns = series.length === 4 ? 2 : Math.min(series.length, canvas.compact ? 2 : 3);
  const width = Math.min(300, (canvas.width - GAP * (columns - 1)) / columns);
  const styles = seriesStyles(series);
  const largest = Math.max(1, ...series.flatMap(({ bins }) => bins.map((bin) => bin.count)));
  const names = series.map(({ name }) => wrapText(name, width / 1.12, FONT, 2));
  const header = Math.max(1, ...names.map((lines) => lines.length)) * 14 + 40;
  const height = header + (width - MARGIN.left - MARGIN.right) + MARGIN.bottom;
  return series.map((each, index) => ({
    node: panel({ ...canvas, width }, each, names[index], styles.get(each.name)!, {
      header,
      height,
      largest,
    }),
    x: (index % columns) * (width + GAP),
    y: Math.floor(index / columns) * (height + GAP),
    height,
  }));
}

function panel(
  canvas: Canvas,
  series: ReliabilitySeries,
  name: string[],
  style: SeriesStyle,
  { header, height, largest }: { header: number; height: number; largest: number },
): Element {
  const { Plot, width } = canvas;
  const stroke = colour(style.colour);
  const filled = series.bins.filter((bin) => bin.count > 0 && bin.accuracy !== null);
  const ticks = [0, 50, 100];
  const axis = { tickFormat: String, tickSize: 4, label: null };
  return plot(canvas, {
    width,
    height,
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginTop: header,
    marginBottom: MARGIN.bottom,
    x: { domain: [0, 100] },
    y: { domain: [0, 100] },
    marks: [
      Plot.ruleX([0, 25, 50, 75, 100], { stroke: colour("grid") }),
      Plot.ruleY([0, 25, 50, 75, 100], { stroke: colour("grid") }),
      Plot.link([0], { x1: 0, y1: 0, x2: 100, y2: 100, stroke: colour("muted"), strokeDasharray: "4 3" }),
      Plot.line(filled, {
        x: (bin) => bin.confidence * 100,
        y: (bin) => bin.accuracy! * 100,
        stroke,
        strokeOpacity: 0.75,
      }),
      Plot.dot(filled, {
        x: (bin) => bin.confidence * 100,
        y: (bin) => bin.accuracy! * 100,
        r: (bin) => Math.max(1.5, LARGEST_RADIUS * Math.sqrt(bin.count / largest)),
        fill: stroke,
        fillOpacity: 0.6,
        stroke,
        className: "fig-bin",
      }),
      Plot.axisX(ticks, axis),
      Plot.axisY(ticks, axis),
      cornerText(canvas, name.join("\n"), { dy: -40 - name.length * 14, fontWeight: "bold" }),
      cornerText(canvas, `ECE ${series.ece.toFixed(3)}`, { dy: -40, ink: "muted" }),
      Plot.text(["Confidence (%)"], {
        text: (label) => label,
        frameAnchor: "bottom",
        lineAnchor: "bottom",
        dy: MARGIN.bottom - 6,
      }),
      cornerText(canvas, "Accuracy (%)", { dy: -21, ink: "ink" }),
    ],
  });
}

/** Text from the panel's left edge, `dy` pixels from the top of its frame. */
function cornerText(
  { Plot }: Canvas,
  text: string,
  { dy, fontWeight, ink = "ink" }: { dy: number; fontWeight?: "bold"; ink?: "ink" | "muted" },
) {
  return Plot.text([text], {
    text: (line) => line,
    frameAnchor: "top-left",
    lineAnchor: "top",
    dx: -MARGIN.left,
    dy,
    fontWeight,
    lineHeight: 14 / FONT,
    fill: colour(ink),
  });
}
