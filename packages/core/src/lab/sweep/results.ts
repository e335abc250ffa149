import { parquetWriteBuffer } from "hyparquet-writer";
import { formatCsv } from "../../data/csv-writer.js";
import { hierarchicalBootstrap, type Interval } from "../../measure/bootstrap.js";
import { createRandom } from "../../random.js";
import type { Experiment, ResultRow, Value } from "../experiment.js";
import type { EndedRun } from "./sweep.js";

/** A table in which each row has a value, or null, in each column. */
export interface TidyTable {
  columns: string[];
  rows: Record<string, Value>[];
}

/**
 * All rows of all runs as one table, one measurement a row: the run's id and how it ended, the fields in which runs
 * differ, then what was measured. A run that failed has one row without measurements, so that none is missing.
 */
export function tidyTable(ended: readonly EndedRun[]): TidyTable {
  const measured = new Set(ended.flatMap(({ rows }) => rows.flatMap((row) => Object.keys(row))));
  const own = new Set(["run", "status", "reason"]);
  // A configured field may have the name of a measured one, such as methods that a run went through.
  const fieldColumn = (path: string) => (measured.has(path) || own.has(path) ? `config.${path}` : path);
  const rows = ended.flatMap(({ run, outcome, rows: measurements }) => {
    const fields = Object.entries(run.varied).map(
      ([path, value]) => [fieldColumn(path), plain(value)] as const,
    );
    const head = { run: run.id, status: outcome.status, ...Object.fromEntries(fields) };
    if (outcome.status === "failed") return [{ ...head, reason: outcome.reason }];
    return measurements.map((row) => ({ ...head, ...row }));
  });
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return {
    columns,
    rows: rows.map((row: Record<string, Value>) =>
      Object.fromEntries(columns.map((column) => [column, row[column] ?? null])),
    ),
  };
}

/** One row for each run: how it ended. What it took is no part of it: a repetition has the same table. */
export function runsTable(ended: readonly EndedRun[]): TidyTable {
  const paths = [...new Set(ended.flatMap(({ run }) => Object.keys(run.varied)))];
  const columns = ["run", ...paths, "status", "hash", "attempts", "reason"];
  const rows = ended.map(({ run, outcome }) => {
    const values: Record<string, unknown> = { run: run.id, ...run.varied, ...outcome };
    return Object.fromEntries(columns.map((column) => [column, plain(values[column] ?? null)]));
  });
  return { columns, rows };
}

const plain = (value: unknown): Value =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : (value as Value);

export const toCsv = ({ columns, rows }: TidyTable): string =>
  formatCsv([columns, ...rows.map((row) => columns.map((column) => row[column]))]);

/** The table as a Parquet file. Columns of numbers are doubles, of truth values booleans; all others text. */
export function toParquet({ columns, rows }: TidyTable): Uint8Array {
  const columnData = columns.map((name) => {
    const values = rows.map((row) => row[name]);
    const types = new Set(values.filter((value) => value !== null).map((value) => typeof value));
    if (types.size === 1 && types.has("number"))
      return { name, data: values, type: "DOUBLE" as const, nullable: true };
    if (types.size === 1 && types.has("boolean"))
      return { name, data: values, type: "BOOLEAN" as const, nullable: true };
    const texts = values.map((value) => (value === null ? null : String(value)));
    return { name, data: texts, type: "STRING" as const, nullable: true };
  });
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}

/** A measure of all runs that differ in their seed alone, under the same conditions. */
export interface Summary {
  /** Fields and conditions by name. */
  group: Record<string, Value>;
  measure: string;
  interval: Interval;
}

/**
 * Means with bootstrap intervals: seeds are drawn first, then the rows inside. Undefined values are left out and counted.
 */
export function summarise(ended: readonly EndedRun[], experiment: Experiment): Summary[] {
  const groups = new Map<string, { group: Record<string, Value>; bySeed: Map<string, ResultRow[]> }>();
  for (const { run, rows } of ended) {
    if (run.system !== experiment.name) continue;
    const { seed, ...fields } = run.varied;
    for (const row of rows) {
      const conditions = experiment.conditions.map((name) => [name, row[name] ?? null] as const);
      const group = { ...mapValues(fields, plain), ...Object.fromEntries(conditions) };
      const key = JSON.stringify(group);
      const found = groups.get(key) ?? { group, bySeed: new Map<string, ResultRow[]>() };
      groups.set(key, found);
      const name = String(seed ?? "");
      found.bySeed.set(name, [...(found.bySeed.get(name) ?? []), row]);
    }
  }
  const random = createRandom("sweep/summary");
  return experiment.measures.flatMap((measure) =>
    [...groups.values()].map(({ group, bySeed }) => ({
      group,
      measure,
      interval: hierarchicalBootstrap(
        [...bySeed.values()].map((rows) => rows.map((row) => numberOrNull(row[measure]))),
        { random: random.stream(measure, JSON.stringify(group)), resamples: 1000 },
      ),
    })),
  );
}

const numberOrNull = (value: Value | undefined): number | null =>
  typeof value === "number" && Number.isFinite(value) ? value : null;

const mapValues = <A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
