import type { StageEvent } from "./lab.js";
import type { RunRecord } from "./run-record.js";

/** Something that is not the same in two runs; undefined where one has nothing. */
export interface Difference {
  /** E.g. `pretraining.epochs`. */
  path: string;
  first: unknown;
  second: unknown;
}

export interface RunComparison {
  configuration: Difference[];
  /** Versions and machine, without the date. */
  environment: Difference[];
  inputs: Difference[];
  results: Difference[];
  /** Files of results by SHA-256. */
  files: Difference[];
  stages: {
    /** Keys in both, with the same output. */
    same: number;
    /** The same stage of the same inputs, and yet another output: hashes by `name key`. */
    differ: Difference[];
    /** Numbers of stages by name that only one of the runs has. */
    onlyFirst: Record<string, number>;
    onlySecond: Record<string, number>;
  };
}

/** A run as it is compared: its record, and its stages. */
export interface ComparedRun {
  record: RunRecord;
  stages: readonly StageEvent[];
}

export function compareRuns(first: ComparedRun, second: ComparedRun): RunComparison {
  const [a, b] = [first.record, second.record];
  const withoutDate = ({ date: _, ...rest }: Record<string, string>) => rest;
  const hashes = (inputs: RunRecord["inputs"]) =>
    Object.fromEntries(Object.entries(inputs).map(([name, { sha256 }]) => [name, sha256]));
  return {
    configuration: differences(a.configuration, b.configuration),
    environment: differences(withoutDate(a.environment), withoutDate(b.environment)),
    inputs: differences(hashes(a.inputs), hashes(b.inputs)),
    results: differences(a.results, b.results),
    files: differences(a.files ?? {}, b.files ?? {}),
    stages: compareStages(first.stages, second.stages),
  };
}

function compareStages(first: readonly StageEvent[], second: readonly StageEvent[]): RunComparison["stages"] {
  const [a, b] = [first, second].map((events) => new Map(events.map((event) => [event.key, event])));
  const shared = [...a.values()].filter(({ key }) => b.has(key));
  const differ = shared.filter(({ key, hash }) => b.get(key)?.hash !== hash);
  const only = (own: Map<string, StageEvent>, other: Map<string, StageEvent>) => {
    const counts: Record<string, number> = {};
    for (const { key, stage } of own.values()) {
      if (!other.has(key)) counts[stage] = (counts[stage] ?? 0) + 1;
    }
    return counts;
  };
  return {
    same: shared.length - differ.length,
    differ: differ.map(({ stage, key, hash }) => ({
      path: `${stage} ${key}`,
      first: hash,
      second: b.get(key)?.hash,
    })),
    onlyFirst: only(a, b),
    onlySecond: only(b, a),
  };
}

/** Where two values of plain data differ, by path, as deep as both are objects. */
export function differences(first: unknown, second: unknown, path = ""): Difference[] {
  if (isObject(first) && isObject(second)) {
    const keys = [...new Set([...Object.keys(first), ...Object.keys(second)])].sort();
    return keys.flatMap((key) =>
      differences(own(first, key), own(second, key), path === "" ? key : `${path}.${key}`),
    );
  }
  return JSON.stringify(first) === JSON.stringify(second) ? [] : [{ path, first, second }];
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

const own = (value: object, key: string): unknown =>
  Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;

/**
 * Whether a run that repeats another has the same bits: the same files, and the same output wherever a stage has the same key.
 */
export function isSameRun({ files, stages }: RunComparison): boolean {
  return files.length === 0 && stages.differ.length === 0;
}
