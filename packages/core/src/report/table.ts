import { plainText } from "./text.js";

/** A link leads to another page of the same folder. */
export type Cell = string | number | null | { text: string; href: string };

/** A table for the terminal and for a report. */
export interface ReportTable {
  title: string;
  /** How to read it. */
  caption?: string;
  columns: { name: string; align?: "left" | "right" }[];
  /** One cell per column; null: there is no value. */
  rows: Cell[][];
}

/** A cell as text: whole numbers as they are, others with four significant digits, a missing value as a dash. */
export function formatCell(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return "–";
  if (typeof cell === "string") return plainText(cell);
  if (typeof cell === "object") return plainText(cell.text);
  if (Number.isInteger(cell) || !Number.isFinite(cell)) return String(cell).replace("-", "−");
  return String(Number(cell.toPrecision(4))).replace("-", "−");
}
