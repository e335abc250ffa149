/** Text that comes from outside (class names, file names, messages) made safe to show, measured and cut to fit. */

const CONTROL = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;
const LONE_SURROGATE = /\p{Surrogate}/gu;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f1e6}-\u{1f1ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]+$/u;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** One line without control characters, direction overrides or lone surrogates: no escape sequence of a hostile name reaches a terminal or an XML file. */
export function plainText(text: string): string {
  return text.replace(CONTROL, " ").replace(LONE_SURROGATE, "\ufffd");
}

/** Columns that a line takes in a terminal: 2 for East Asian wide characters and emoji, 0 for combining marks. */
export function displayWidth(text: string): number {
  let columns = 0;
  for (const { segment } of graphemes.segment(text)) columns += graphemeWidth(segment);
  return columns;
}

function graphemeWidth(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
}

/** The text cut to at most `columns` terminal columns, with an ellipsis where something was left out. */
export function truncate(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let kept = "";
  let used = 1;
  for (const { segment } of graphemes.segment(text)) {
    used += graphemeWidth(segment);
    if (used > columns) break;
    kept += segment;
  }
  return columns > 0 ? `${kept}…` : "";
}

/** Spaces added on one side until the text takes `columns` terminal columns. */
export function pad(text: string, columns: number, align: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, columns - displayWidth(text)));
  return align === "left" ? text + spaces : spaces + text;
}

/** The text with the five characters escaped that mean something in HTML and XML, in content and in quoted attributes. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

/** Width in pixels of a line in DejaVu Sans, from its advance widths by class of character; other fonts in use are narrower. */
export function textWidth(text: string, fontSize: number, bold = false): number {
  let ems = 0;
  for (const { segment } of graphemes.segment(text)) ems += advance(segment);
  return ems * fontSize * (bold ? 1.12 : 1);
}

function advance(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  if (WIDE.test(grapheme)) return 1.1;
  if (/^[ijlI.,:;'|! ]/.test(grapheme)) return 0.33;
  if (/^[ftr()[\]\-/\\"]/.test(grapheme)) return 0.41;
  if (/^[mMwWQO@%&→←+−=<>~…]/.test(grapheme)) return 0.93;
  if (/^[A-Z]/.test(grapheme)) return 0.71;
  return 0.635;
}

/** The text broken into lines of at most `width` pixels: at spaces, after `-`, `_`, `/` and `.`, else anywhere. Lines after the last allowed become an ellipsis. */
export function wrapText(text: string, width: number, fontSize: number, maxLines = 3): string[] {
  const pieces = plainText(text)
    .trim()
    .split(/(?<=[\s\-_/.])/u)
    .flatMap((piece) => splitLong(piece, width, fontSize));
  const lines: string[] = [];
  for (const piece of pieces) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth((last + piece).trimEnd(), fontSize) <= width)
      lines[lines.length - 1] = last + piece;
    else lines.push(piece);
  }
  const shown = lines.slice(0, maxLines).map((line) => line.trimEnd());
  if (lines.length > maxLines) {
    let cut = [...graphemes.segment(shown[maxLines - 1])].map(({ segment }) => segment);
    while (cut.length > 1 && textWidth(`${cut.join("")}…`, fontSize) > width) cut = cut.slice(0, -1);
    shown[maxLines - 1] = `${cut.join("")}…`;
  }
  return shown.length > 0 ? shown : [""];
}

function splitLong(piece: string, width: number, fontSize: number): string[] {
  const parts: string[] = [];
  let part = "";
  for (const { segment } of graphemes.segment(piece)) {
    if (part !== "" && textWidth((part + segment).trimEnd(), fontSize) > width) {
      parts.push(part);
      part = "";
    }
    part += segment;
  }
  return [...parts, part];
}

/** A number with a true minus sign and a fixed number of decimals; a rounded zero has no sign. */
export function signed(value: number, digits = 2): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
