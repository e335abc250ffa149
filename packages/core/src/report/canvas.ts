import type * as PlotModule from "@observablehq/plot";
import { plainText, textWidth, wrapText } from "./text.js";
import { type Colour, colour, LIGHT, type SeriesStyle } from "./theme.js";

export type Plot = typeof PlotModule;

/** A picture of data, drawn twice: for a page's width and for a phone's. */
export interface Figure {
  /** File stem: letters, digits, `-`, `_` and `.`. */
  name: string;
  /** What is shown, a few words. */
  title: string;
  /** How to read it, a sentence or two. */
  caption: string;
  /** Light theme, a file on its own: background, fonts and colours are in it. */
  svg: string;
  /** For inlining in a page: colours are the `--fig-…` variables, the font is the page's. About 560 px wide. */
  inline?: string;
  /** As `inline`, laid out anew for about 330 px. */
  inlineCompact?: string;
}

/** Words of a figure that a study may replace. */
export interface FigureText {
  name?: string;
  title?: string;
  caption?: string;
  /** What the axis measures, without its unit, e.g. `Test accuracy`. */
  measure?: string;
}

/** A part of a figure at its place, in pixels from the upper left corner. */
export interface Layer {
  node: Element;
  x: number;
  y: number;
  height: number;
}

export interface Canvas {
  Plot: Plot;
  document: Document;
  /** Width in pixels to fill. */
  width: number;
  /** Whether this is the narrow layout. */
  compact: boolean;
}

/** Font size of all figure text, in pixels. */
export const FONT = 12;
const WIDE = 560;
const COMPACT = 330;
const PADDING = 16;

/** Draws the figure in both layouts. `draw` gives layers without overlap. */
export async function makeFigure(
  text: Required<Omit<FigureText, "measure">>,
  draw: (canvas: Canvas) => Layer[],
): Promise<Figure> {
  const { Plot, window } = await drawingTools();
  const { document } = window;
  const compose = (width: number, standalone: boolean): string => {
    const layers = draw({ Plot, document, width, compact: width < WIDE });
    const svg = composeSvg(document, layers, width, text, standalone);
    return new window.XMLSerializer().serializeToString(svg);
  };
  return {
    name: text.name,
    title: plainText(text.title),
    caption: plainText(text.caption),
    svg: compose(WIDE, true),
    inline: compose(WIDE, false),
    inlineCompact: compose(COMPACT, false),
  };
}

let tools: ReturnType<typeof load> | undefined;

/** Plot and a document to draw in. Loading them takes about a second, so it happens with the first figure. */
function drawingTools(): ReturnType<typeof load> {
  tools ??= load();
  return tools;
}

async function load() {
  const [Plot, { JSDOM }] = await Promise.all([import("@observablehq/plot"), import("jsdom")]);
  return { Plot, window: new JSDOM("").window };
}

function composeSvg(
  document: Document,
  layers: Layer[],
  width: number,
  text: { title: string; caption: string },
  standalone: boolean,
): Element {
  const height = Math.max(40, ...layers.map((layer) => layer.y + layer.height));
  const titleLines = standalone ? wrapText(text.title, width, 15) : [];
  const top = titleLines.length * 20 + (standalone ? 8 : 0);
  const margin = standalone ? PADDING : 0;
  const [fullWidth, fullHeight] = [width + 2 * margin, Math.ceil(height + top + 2 * margin)];

  const svg = element(document, "svg", {
    width: fullWidth,
    height: fullHeight,
    viewBox: `0 0 ${fullWidth} ${fullHeight}`,
    role: "img",
    "aria-label": plainText(text.title),
    "font-size": FONT,
    ...(standalone ? { "font-family": "'DejaVu Sans', Verdana, sans-serif" } : {}),
  });
  const description = element(document, "desc", {});
  description.textContent = plainText(text.caption);
  svg.append(description);
  if (standalone)
    svg.append(element(document, "rect", { width: fullWidth, height: fullHeight, fill: colour("paper") }));
  titleLines.forEach((line, index) => {
    const place = { x: margin, y: margin + 14 + 20 * index, "font-size": 15, "font-weight": "bold" };
    const node = element(document, "text", { ...place, fill: colour("ink") });
    node.textContent = line;
    svg.append(node);
  });
  for (const layer of layers) {
    const group = element(document, "g", {
      transform: `translate(${margin + layer.x},${margin + top + layer.y})`,
      fill: "currentColor",
      "text-anchor": "middle",
    });
    layer.node.querySelectorAll("style").forEach((style) => {
      style.remove();
    });
    group.append(...layer.node.childNodes);
    svg.append(group);
  }
  resolveColours(svg, standalone);
  for (const node of svg.querySelectorAll("text, tspan"))
    if (node.childElementCount === 0) node.textContent = plainText(node.textContent ?? "");
  return svg;
}

/** Renderers of SVG files know no CSS variables, so a file on its own gets the light theme's values. */
function resolveColours(svg: Element, standalone: boolean): void {
  for (const node of svg.querySelectorAll("[fill], [stroke]")) {
    for (const attribute of ["fill", "stroke"]) {
      const value = node.getAttribute(attribute);
      const name = value === "currentColor" ? "ink" : value?.match(/^var\(--fig-(\w+)\)$/)?.[1];
      if (name === undefined) continue;
      node.setAttribute(attribute, standalone ? LIGHT[name as Colour] : colour(name as Colour));
    }
  }
}

function element(document: Document, name: string, attributes: Record<string, string | number>): Element {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** A plot whose colours and symbols are given as they are, without scales of their own. */
export function plot(canvas: Canvas, options: PlotModule.PlotOptions): Element {
  return canvas.Plot.plot({
    document: canvas.document,
    axis: null,
    color: { type: "identity" },
    symbol: { type: "identity" },
    r: { type: "identity" },
    ...options,
  });
}

export interface LegendItem extends SeriesStyle {
  label: string;
  /** Whether series are lines, or only symbols. */
  line: boolean;
}

/** A legend over the whole width, as many items in a row as fit. */
export function legend(canvas: Canvas, items: LegendItem[]): Layer {
  const rowHeight = 19;
  let [x, y] = [0, rowHeight / 2];
  const placed = items.map((item) => {
    const key = item.line ? 26 : 14;
    const [label] = wrapText(item.label, canvas.width - key - 4, FONT, 1);
    const width = key + 5 + textWidth(label, FONT);
    if (x > 0 && x + width > canvas.width) [x, y] = [0, y + rowHeight];
    const place = { ...item, label, x, y, key, stroke: colour(item.colour) };
    x += width + 14;
    return place;
  });
  const { Plot } = canvas;
  const height = y + rowHeight / 2 + 8;
  const node = plot(canvas, {
    width: canvas.width,
    height,
    margin: 0,
    x: { type: "identity" },
    y: { type: "identity" },
    marks: [
      ...placed
        .filter((item) => item.line)
        .map((item) =>
          Plot.ruleY([item], {
            x1: item.x,
            x2: item.x + item.key,
            y: item.y,
            stroke: item.stroke,
            strokeWidth: 2,
            strokeDasharray: item.dash,
          }),
        ),
      Plot.dot(placed, {
        x: (item) => item.x + item.key / 2,
        y: "y",
        fill: "stroke",
        stroke: "stroke",
        strokeWidth: 1.5,
        symbol: "symbol",
        r: 4,
      }),
      Plot.text(placed, {
        x: (item) => item.x + item.key + 5,
        y: "y",
        text: "label",
        textAnchor: "start",
        fill: colour("ink"),
      }),
    ],
  });
  return { node, x: 0, y: 0, height };
}
