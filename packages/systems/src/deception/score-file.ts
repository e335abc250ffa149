import { column, columnName, placeOf, readTable, type TableOptions, UserError } from "outgrow";
import type { PairScores } from "./scores.js";

/** The columns of a file of scores, by what they are. */
const columns = {
  truth: "y",
  weak: "p_weak",
  ceiling: "p_ceiling",
  noConflict: "p_nc",
  conflicted: "p_conflict",
} as const satisfies Record<keyof PairScores, string>;

export interface ScoreFile {
  /** Of the pairs, in the order of the file. */
  ids: string[];
  scores: PairScores;
}

/**
 * Reads what any models say of test pairs: CSV or JSONL with the columns `id`, `y` (1 where the first reply is the better one,
 * else 0) and `p_weak`, `p_ceiling`, `p_nc`, `p_conflict`, probabilities that the first reply is preferred.
 *
 * @throws UserError with file, row and column for missing columns, ids that are missing or come twice, and values that are no
 *   such numbers
 */
export async function readPairScores(file: string, options: TableOptions = {}): Promise<ScoreFile> {
  const table = await readTable(file, { ...options, wanted: ["id", ...Object.values(columns)] });
  const rows = new Map<string, number>();
  const ids = column(table, "id").map((value, row) => {
    const place = placeOf(table, row, "id");
    const id = typeof value === "string" || typeof value === "number" ? String(value) : "";
    if (id === "") throw new UserError("the pair has no id", { place });
    const other = rows.get(id);
    if (other !== undefined) {
      throw new UserError(`the id ${JSON.stringify(id)} comes twice`, {
        place,
        hint: `First in row ${table.rows[other].line}. Each pair is measured once.`,
      });
    }
    rows.set(id, row);
    return id;
  });
  const numbers = (name: string) => {
    columnName(table, name);
    const isTruth = name === columns.truth;
    return Float64Array.from(column(table, name), (value, row) => {
      const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
      const isFine =
        typeof number === "number" && (isTruth ? number === 0 || number === 1 : number >= 0 && number <= 1);
      if (isFine) return number;
      const given = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
      throw new UserError(`${name} ${given}, expected ${isTruth ? "0 or 1" : "a probability in [0, 1]"}`, {
        place: placeOf(table, row, name),
      });
    });
  };
  return {
    ids,
    scores: {
      truth: numbers(columns.truth),
      weak: numbers(columns.weak),
      ceiling: numbers(columns.ceiling),
      noConflict: numbers(columns.noConflict),
      conflicted: numbers(columns.conflicted),
    },
  };
}
