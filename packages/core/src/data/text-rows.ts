import { type Place, UserError } from "../errors.js";
import { parseObject } from "./table-formats.js";
import { readTextFile } from "./text-file.js";

export interface RowsOptions {
  /** Largest size of the file, and of its text where it is compressed. Default 256 MiB. */
  maxBytes?: number;
  /** Longest line in characters. Default 4 million. */
  maxLine?: number;
  /** What a damaged row does: `refuse` the file (the default), or `skip` it and have it listed. */
  damaged?: "refuse" | "skip";
}

/** A row that could not be used. */
export interface DamagedRow {
  /** Line of the file, counted from 1. */
  row: number;
  reason: string;
}

/**
 * Reads the objects of a JSONL file, plain or compressed with gzip, and makes something of each. Blank lines are skipped.
 *
 * @param make may throw a UserError: the row is then damaged
 * @throws UserError with file and row for what cannot be read, and where no row can be used
 */
export async function readJsonRows<Item>(
  file: string,
  options: RowsOptions,
  make: (values: Record<string, unknown>, place: Place) => Item,
): Promise<{ items: Item[]; damaged: DamagedRow[] }> {
  const { maxLine = 4e6, damaged: onDamage = "refuse" } = options;
  const text = (await readTextFile(file, options.maxBytes, { gzip: "decompress" })).toString();
  const items: Item[] = [];
  const damaged: DamagedRow[] = [];
  text.split(/\r\n|\n|\r/).forEach((line, i) => {
    if (line.trim() === "") return;
    const place = { file, row: i + 1 };
    try {
      if (line.length > maxLine) {
        throw new UserError(`the line has ${line.length} characters, expected at most ${maxLine}`, { place });
      }
      items.push(make(parseObject(line, place), place));
    } catch (error) {
      if (!(error instanceof UserError) || onDamage === "refuse") throw error;
      damaged.push({ row: i + 1, reason: error.message });
    }
  });
  if (items.length === 0) {
    const [first] = damaged;
    throw new UserError("no row can be used", {
      place: { file, row: first?.row },
      hint: first && `This one, for a start: ${first.reason}.`,
    });
  }
  return { items, damaged };
}

/** The text of a field. Throws UserError where it is missing or no text. */
export function textField(values: Record<string, unknown>, name: string, place: Place): string {
  const value = values[name];
  if (typeof value === "string") return value;
  const given = value === undefined ? "is missing" : `is ${value === null ? "null" : `a ${typeof value}`}`;
  throw new UserError(`${name} ${given}, expected text`, {
    place: { ...place, column: name },
    hint: `Fields here: ${Object.keys(values).slice(0, 10).join(", ") || "none"}`,
  });
}
