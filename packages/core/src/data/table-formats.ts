import { CsvError, parse } from "csv-parse/sync";
import { type Place, UserError } from "../errors.js";
import { lineCounter } from "./text-file.js";

export interface TableRow {
  /** Line of the file on which the record starts, counted from 1. */
  line: number;
  /** Value of each column: text for CSV, any JSON value for JSONL, where keys may be missing. */
  values: Record<string, unknown>;
}

export interface ParsedTable {
  columns: string[];
  /** False when the columns have no names and are called "1", "2", … */
  hasHeader: boolean;
  rows: TableRow[];
}

export interface HeaderOptions {
  /** Whether the first record of a CSV file names the columns. Default: decided from `wanted`. */
  header?: boolean;
  /**
   * The columns that the caller will ask for. A CSV file is taken to have no header when all of them are
   * column numbers, counted from 1; it has one as soon as one of them is a name, and when none is given.
   * A number greater than the number of fields is a name if it stands in the first record, e.g. "2019".
   * To ask a file with a header for columns by number alone, set `header`.
   */
  wanted?: readonly string[];
  /** What stands between the fields of a CSV file. Default a comma. */
  separator?: "," | "\t";
}

interface CsvRecord {
  line: number;
  fields: string[];
}

/**
 * The records of a CSV text (RFC 4180), with a header or without. Blank lines are skipped.
 * @throws UserError with row and column for broken quoting, a wrong number of fields and a bad header
 */
export function parseCsv(bytes: Buffer, file: string, options: HeaderOptions): ParsedTable {
  const records: CsvRecord[] = [];
  const broken = readRecords(bytes, records, options.separator ?? ",");
  const first = records[0]?.fields ?? [];
  const hasHeader = options.header ?? hasNames(options.wanted ?? [], first);
  const columns = hasHeader ? first : first.map((_, i) => String(i + 1));
  const place = (row: number, index: number): Place => ({
    file,
    row,
    column: hasHeader && index < columns.length ? columns[index] : index + 1,
  });

  if (hasHeader) {
    first.forEach((name, i) => {
      if (name.trim() === "") {
        throw new UserError("the column has an empty name", {
          place: { file, row: records[0].line, column: i + 1 },
          hint: "Name every column in the header, or say that there is no header.",
        });
      }
      if (first.indexOf(name) < i) {
        throw new UserError(`columns ${first.indexOf(name) + 1} and ${i + 1} have the same name`, {
          place: place(records[0].line, i),
          hint: "Rename one of them, or say that there is no header.",
        });
      }
    });
  }
  const rows = records.slice(hasHeader ? 1 : 0).map(({ line, fields }) => {
    if (fields.length !== columns.length) {
      const { length: expected } = columns;
      throw new UserError(`the row has ${fieldCount(fields.length)}, expected ${expected}`, {
        place: place(line, Math.min(fields.length, expected)),
        hint: `Quote fields that hold ${options.separator === "\t" ? "tabs" : "commas"} or line breaks.`,
      });
    }
    return { line, values: Object.fromEntries(fields.map((field, i) => [columns[i], field])) };
  });
  if (broken) {
    const { message, hint } = quotingMistakes[broken.code] ?? { message: broken.message, hint: undefined };
    throw new UserError(message, { place: place(broken.line, broken.index), hint });
  }
  return { columns, hasHeader, rows };
}

const quotingMistakes: Partial<Record<string, { message: string; hint: string }>> = {
  CSV_QUOTE_NOT_CLOSED: {
    message: "a quote is opened and never closed",
    hint: 'Close the field with a quote, and double the quotes inside it: "he said ""no""".',
  },
  CSV_INVALID_CLOSING_QUOTE: {
    message: "the quoted field goes on after its closing quote",
    hint: 'Double the quotes inside a quoted field: "he said ""no""".',
  },
  INVALID_OPENING_QUOTE: {
    message: "a quote stands inside a field that does not begin with one",
    hint: 'Quote the whole field and double the quotes inside it: "he said ""no""".',
  },
};

/** Adds the records up to the first broken one, and says what is wrong with that one. */
function readRecords(
  bytes: Buffer,
  records: CsvRecord[],
  delimiter: string,
): { code: string; message: string; line: number; index: number } | undefined {
  const lineAt = lineCounter(bytes);
  let start = 0;
  const startLine = () => {
    while (bytes[start] === 0x0a || bytes[start] === 0x0d) start++; // blank lines
    return lineAt(start);
  };
  try {
    parse(bytes, {
      delimiter,
      record_delimiter: ["\r\n", "\n", "\r"],
      relax_column_count: true,
      skip_empty_lines: true,
      on_record(fields, info) {
        records.push({ line: startLine(), fields });
        start = info.bytes;
        return null;
      },
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const { code, message, column } = error;
    return { code, message, line: startLine(), index: typeof column === "number" ? column : 0 };
  }
  return undefined;
}

function hasNames(wanted: readonly string[], first: readonly string[]): boolean {
  const isName = (column: string) =>
    !/^[1-9]\d*$/.test(column) || (Number(column) > first.length && first.includes(column));
  return wanted.length === 0 || wanted.some(isName);
}

function fieldCount(count: number): string {
  return count === 1 ? "1 field" : `${count} fields`;
}

/**
 * The objects of a JSONL text and every key of any of them, in order of first appearance. Blank lines are skipped.
 * @throws UserError with the line for malformed JSON and for a value that is not an object
 */
export function parseJsonLines(bytes: Buffer, file: string): ParsedTable {
  const columns = new Set<string>();
  const rows: TableRow[] = [];
  bytes
    .toString()
    .split(/\r\n|\n|\r/)
    .forEach((text, i) => {
      if (text.trim() === "") return;
      const values = parseObject(text, { file, row: i + 1 });
      for (const key of Object.keys(values)) columns.add(key);
      rows.push({ line: i + 1, values });
    });
  return { columns: [...columns], hasHeader: true, rows };
}

/** The JSON object on a line. Throws UserError where there is something else. */
export function parseObject(text: string, place: Place): Record<string, unknown> {
  const hint = 'Expected one JSON object on each line, e.g. {"text": "…", "label": "…"}.';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError(`malformed JSON: ${(cause as Error).message}`, { place, hint, cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  const kind = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
  throw new UserError(`the line is ${kind}, expected an object`, { place, hint });
}
