import {
  homeLayout,
  listRuns,
  outgrowHome,
  type RunRecord,
  type RunStatus,
  statusOf,
  UserError,
} from "outgrow/records";
import { alignColumns } from "./columns.js";

export interface RunsOptions {
  kind?: string;
  status?: string;
  since?: Date;
  where?: { path: string; value: string }[];
  sort?: string;
  reverse?: boolean;
  limit?: number;
  json?: boolean;
}

export const statuses: RunStatus[] = ["running", "done", "failed", "stopped", "interrupted"];

type ListedRun = RunRecord & { status: RunStatus };

/** `outgrow runs` */
export function runs(options: RunsOptions): void {
  const damaged: UserError[] = [];
  const { runs: folder } = homeLayout(outgrowHome());
  const all = listRuns(folder, (error) => damaged.push(error)).map(
    (record): ListedRun => ({ ...record, status: statusOf(record) as RunRecord["status"] }),
  );
  const { kind, status, since, where = [], sort, reverse, limit } = options;
  const chosen = all.filter(
    (run) =>
      (kind === undefined || run.kind === kind) &&
      (status === undefined || run.status === status) &&
      (since === undefined || Date.parse(run.started) >= since.getTime()) &&
      where.every(({ path, value }) => textOf(fieldOf(run, path)) === value),
  );
  if (sort !== undefined) {
    if (all.length > 0 && !all.some((run) => fieldOf(run, sort) !== undefined)) {
      throw new UserError(`no run has a field "${sort}"`, {
        hint: "For example: --sort seconds, --sort configuration.seed, --sort 'results.accuracy naive'",
      });
    }
    chosen.sort((a, b) => compareValues(fieldOf(a, sort), fieldOf(b, sort)));
  }
  if (reverse) chosen.reverse();
  const shown = chosen.slice(0, limit);
  if (options.json) {
    console.log(JSON.stringify({ runs: shown, damaged: damaged.map((error) => error.toString()) }));
  } else {
    for (const line of alignColumns([["ID", "STATUS", "STARTED", "TIME", "RESULTS"], ...shown.map(rowOf)])) {
      console.log(line);
    }
    if (shown.length < all.length) console.log(`${shown.length} of ${all.length} runs`);
    for (const error of damaged) console.error(`outgrow: ${error.toString()}`);
  }
  if (damaged.length > 0) process.exitCode = 1;
}

function rowOf(run: ListedRun): string[] {
  const results = Object.entries(run.results).filter(([, value]) => value !== null);
  const shown = results
    .slice(0, 2)
    .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toFixed(4)) : value}`);
  const more = results.length > 2 ? ` (+${results.length - 2})` : "";
  return [
    run.id,
    run.status,
    run.started.slice(0, 16).replace("T", " "),
    run.seconds === undefined ? "" : `${run.seconds.toFixed(1)} s`,
    run.error?.split("\n")[0] ?? shown.join(", ") + more,
  ];
}

/** A field of a run by its path: of the record, else of its configuration, else of its results. */
export function fieldOf(run: object, path: string): unknown {
  const { configuration, results } = run as Partial<RunRecord>;
  for (const root of [run, configuration, results]) {
    const found = follow(root, path);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Names may have dots in them: the longest that fits is taken. */
function follow(value: unknown, path: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if (Object.hasOwn(value, path)) return (value as Record<string, unknown>)[path];
  for (let dot = path.lastIndexOf("."); dot > 0; dot = path.lastIndexOf(".", dot - 1)) {
    const found = follow((value as Record<string, unknown>)[path.slice(0, dot)], path.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

const textOf = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

/** Numbers by size, others by their text; what is missing comes last. */
function compareValues(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [first, second] = [textOf(a), textOf(b)];
  return first < second ? -1 : first > second ? 1 : 0;
}
