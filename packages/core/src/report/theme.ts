/** What a series stands for in a comparison of weak supervisor, student and ceiling. */
export type Role = "weak" | "student" | "ceiling" | "control";

/** Colours of a figure by name. The hues are Okabe and Ito's (2008), which colour-blind readers can tell apart; the dark theme lightens them. */
export const LIGHT = {
  paper: "#ffffff",
  ink: "#1b1f24",
  muted: "#57606a",
  grid: "#d8dee4",
  orange: "#e69f00",
  sky: "#56b4e9",
  green: "#009e73",
  blue: "#0072b2",
  vermillion: "#d55e00",
  purple: "#cc79a7",
  grey: "#767d86",
} as const;

export type Colour = keyof typeof LIGHT;

export const DARK: Record<Colour, string> = {
  paper: "#16191d",
  ink: "#e8eaed",
  muted: "#a3abb5",
  grid: "#343a42",
  orange: "#f0b323",
  sky: "#8fd0f7",
  green: "#2cc295",
  blue: "#4c9fe0",
  vermillion: "#f0803c",
  purple: "#e09bc4",
  grey: "#949ca6",
};

/** A colour as a CSS variable, so that a figure inside a page follows the page's theme. */
export function colour(name: Colour): string {
  return `var(--fig-${name})`;
}

/** CSS declarations that give the figure colours their values. */
export function themeVariables(theme: Record<Colour, string>): string {
  return Object.entries(theme)
    .map(([name, value]) => `--fig-${name}: ${value};`)
    .join(" ");
}

export type SymbolName = "circle" | "square" | "diamond" | "triangle" | "star" | "cross" | "wye" | "times";

/** How one series is drawn everywhere: colour, symbol and dash, so that colour is never the only cue. */
export interface SeriesStyle {
  colour: Colour;
  symbol: SymbolName;
  /** SVG `stroke-dasharray`; solid when absent. */
  dash?: string;
}

const HUES: Colour[] = ["orange", "blue", "green", "vermillion", "purple", "sky"];
const SYMBOLS: SymbolName[] = ["circle", "square", "diamond", "triangle", "star", "cross", "wye"];

/** Methods that appear in many studies look the same in each of them. */
const KNOWN: Record<string, SeriesStyle> = {
  naive: { colour: "orange", symbol: "circle" },
  "confidence (paper)": { colour: "blue", symbol: "square" },
  "confidence (official-code)": { colour: "sky", symbol: "diamond" },
  "confidence (ramp)": { colour: "purple", symbol: "triangle" },
  product: { colour: "green", symbol: "star" },
  "self-training": { colour: "vermillion", symbol: "cross" },
  "random init": { colour: "grey", symbol: "times", dash: "2 3" },
};

const ROLES: Record<Exclude<Role, "student">, SeriesStyle> = {
  weak: { colour: "muted", symbol: "circle", dash: "6 3" },
  ceiling: { colour: "ink", symbol: "diamond", dash: "6 3" },
  control: { colour: "grey", symbol: "times", dash: "2 3" },
};

/**
 * A style for each series. It depends on the names and roles only, not on their order, so that figures over
 * the same methods agree. Names that are not well known get the free combinations of hue and symbol in
 * alphabetical order; there are 42 of those.
 */
export function seriesStyles(series: { name: string; role?: Role }[]): Map<string, SeriesStyle> {
  const styles = new Map<string, SeriesStyle>();
  const taken = new Set<string>();
  const unknown = new Set<string>();
  for (const { name, role } of series) {
    const fixed = role === undefined || role === "student" ? lookUp(name) : ROLES[role];
    if (fixed === undefined) unknown.add(name);
    if (fixed === undefined || styles.has(name)) continue;
    const symbol = [fixed.symbol, ...SYMBOLS].find((each) => !taken.has(look({ ...fixed, symbol: each })));
    const style = { ...fixed, symbol: symbol ?? fixed.symbol };
    styles.set(name, style);
    taken.add(look(style));
  }
  const free = combinations().filter((style) => !taken.has(look(style)));
  [...unknown].sort().forEach((name, index) => {
    styles.set(name, free[index % free.length]);
  });
  return styles;
}

function lookUp(name: string): SeriesStyle | undefined {
  return Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
}

function look(style: SeriesStyle): string {
  return `${style.colour} ${style.symbol}`;
}

/** Hue and symbol change together, so that neighbours differ in both. */
function combinations(): SeriesStyle[] {
  return HUES.flatMap((_, round) =>
    SYMBOLS.map((symbol, index) => ({ colour: HUES[(index + round) % HUES.length], symbol })),
  );
}
