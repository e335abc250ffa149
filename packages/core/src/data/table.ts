import { extname } from "node:path";
import { type Place, UserError } from "../errors.js";
import { namesHint } from "./nearest.js";
import { type HeaderOptions, type ParsedTable, parseCsv, parseJsonLines } from "./table-formats.js";
import { readTextFile } from "./text-file.js";

export type { TableRow } from "./table-formats.js";

/** A file of records, all of it in memory. */
export interface Table extends ParsedTable {
  /** Path as it was given. */
  file: string;
  format: "csv" | "jsonl";
}

export interface TableOptions extends HeaderOptions {
  /** Default: JSONL for `.jsonl` and `.ndjson`, CSV for `.csv`, else JSONL if the text begins with `{`. */
  format?: "csv" | "jsonl";
  /** Size above which the file is refused. Default 256 MiB. */
  maxBytes?: number;
}

/**
 * Reads a CSV file (RFC 4180: quoted fields may hold commas, doubled quotes and line breaks; lines end with
 * CRLF, LF or CR) or a JSONL file (one JSON object on each line). UTF-8, with or without a byte order mark.
 *
 * @throws UserError with file, row and column for a file that cannot be read or has no rows,
 *   and for a record that is malformed
 */
export async function readTable(file: string, options: TableOptions = {}): Promise<Table> {
  const bytes = await readTextFile(file, options.maxBytes);
  const format = options.format ?? formatOf(file, bytes);
  const parsed = format === "csv" ? parseCsv(bytes, file, options) : parseJsonLines(bytes, file);
  if (parsed.rows.length === 0) {
    throw new UserError("the file has a header but no rows", {
      place: { file },
      hint: "If the first record is data, say that there is no header.",
    });
  }
  return { file, format, ...parsed };
}

function formatOf(file: string, bytes: Buffer): "csv" | "jsonl" {
  const extension = extname(file).toLowerCase();
  if (extension === ".jsonl" || extension === ".ndjson") return "jsonl";
  if (extension === ".csv") return "csv";
  return bytes.subarray(0, 1024).toString().trimStart().startsWith("{") ? "jsonl" : "csv";
}

/**
 * The name of a column that is given by name or by number, counted from 1. A name goes before a number. In JSONL dots reach into
 * objects: `weak.gpt2` is `gpt2` of what `weak` holds.
 * @throws UserError with the nearest name and the list of columns
 */
export function columnName(table: Table, nameOrNumber: string | number): string {
  const { file, columns, format } = table;
  const name = String(nameOrNumber);
  if (columns.includes(name)) return name;
  if (format === "jsonl" && table.rows.some(({ values }) => valueAt(values, name) !== undefined)) return name;
  if (/^[1-9]\d*$/.test(name) && Number(name) <= columns.length) return columns[Number(name) - 1];
  const separator = columns.length === 1 ? /[\t;|]/.exec(columns[0]) : null;
  throw new UserError(`there is no column ${JSON.stringify(name)}`, {
    place: { file },
    hint:
      separator === null
        ? namesHint(name, "columns", columns)
        : `The fields seem to be separated by ${JSON.stringify(separator[0])}, expected commas.`,
  });
}

/**
 * `[rows]`: the values of a column, undefined where a row of JSONL lacks the key.
 * @throws UserError as {@link columnName}
 */
export function column(table: Table, nameOrNumber: string | number): unknown[] {
  const name = columnName(table, nameOrNumber);
  return table.rows.map(({ values }) => valueAt(values, name));
}

/** Keys may have dots of their own, as names of models do. */
function valueAt(values: unknown, name: string): unknown {
  if (typeof values !== "object" || values === null) return undefined;
  if (Object.hasOwn(values, name)) return (values as Record<string, unknown>)[name];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const outer = name.slice(0, dot);
    if (!Object.hasOwn(values, outer)) continue;
    const inner = valueAt((values as Record<string, unknown>)[outer], name.slice(dot + 1));
    if (inner !== undefined) return inner;
  }
  return undefined;
}

/**
 * Where a value stands, for an error: `row` is the index of the row in the table, counted from 0,
 * or undefined for the whole column.
 */
export function placeOf(table: Table, row: number | undefined, name: string): Place {
  const { file, rows, hasHeader } = table;
  const line = row === undefined ? undefined : rows[row].line;
  return { file, row: line, column: hasHeader ? name : Number(name) };
}
