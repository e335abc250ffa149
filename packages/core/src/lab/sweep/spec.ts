import { parseDocument } from "yaml";
import { z } from "zod";
import { namesHint } from "../../data/nearest.js";
import { UserError } from "../../errors.js";
import { parseConfig } from "../../worlds/config.js";
import { contentHash } from "../content-hash.js";
import { type Experiment, parseExperiment } from "../experiment.js";

/** Values that one field takes: listed, or whole numbers that follow one another. */
const values = z.union([
  z.array(z.unknown()).min(1, "a list of at least one value"),
  z.strictObject({ from: z.int().default(0), count: z.int().min(1) }),
]);

const sizePattern = /^(\d+(?:\.\d+)?) ?(MiB|GiB)$/;

/** The form of a sweep file. Paths of fields may be dotted: `world.noise`. */
const sweepFile = z.strictObject({
  /** Shown in tables and reports. Default: the file's name. */
  name: z.string().min(1).optional(),
  /** What runs: one of the experiments, or several. */
  system: z.union([z.string(), z.array(z.string()).min(1)]),
  /** Fields that are the same in all runs. */
  config: z.record(z.string(), z.unknown()).default({}),
  /** Every combination of these fields' values. */
  grid: z.record(z.string(), values).default({}),
  /** Each of these sets of fields, with every combination of the grid. */
  list: z.array(z.record(z.string(), z.unknown())).min(1).optional(),
  /**
   * Seeds of one configuration that small models are trained for at once, where a system can. It changes results by no
   * more than float32 rounding, but it changes their bits.
   */
  seedsTogether: z.int().min(1).max(64).default(1),
  /** What one run needs. */
  resources: z
    .strictObject({
      memory: z.string().regex(sizePattern, 'a size such as "2 GiB" or "512 MiB"').default("2 GiB"),
      threads: z.int().min(1).default(1),
      device: z.enum(["cpu", "webgpu", "cuda"]).default("cpu"),
    })
    .prefault({}),
});

/** What one run needs of the machine that takes it. */
export interface Resources {
  memoryBytes: number;
  threads: number;
  device: "cpu" | "webgpu" | "cuda";
}

/** One run of a sweep. */
export interface SweepRun {
  /** Name of the experiment. */
  system: string;
  /** Names the run in the sweep and in the queue: the beginning of a hash of system and configuration. */
  id: string;
  /** Complete and checked: absent fields have their defaults. */
  config: Record<string, unknown>;
  /** Seeds of runs that differ in nothing else and are trained together with this one; its own among them. */
  seedsTogether?: number[];
  /** The fields that tell this run from the others of the sweep, by their paths. */
  varied: Record<string, unknown>;
}

export interface Sweep {
  name: string;
  /** In the order of the file: systems, then `list`, then the grid with its last field running fastest. */
  runs: SweepRun[];
  resources: Resources;
}

/** More are a mistake, or another tool's work. */
const maxRuns = 100_000;

/**
 * Reads a sweep file and checks every run's configuration, before anything runs.
 *
 * @throws UserError where the text is not YAML, a field or system is unknown (with the nearest known one), a value is
 *   refused by a system's schema, or two runs are the same
 */
export function parseSweep(text: string, file: string, experiments: readonly Experiment[]): Sweep {
  const place = { file };
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault) {
    const row = fault.linePos?.[0].line;
    throw new UserError(`is not YAML: ${fault.message.split("\n")[0]}`, {
      place: { ...place, row },
      hint: "A sweep file is YAML with the fields system, config, grid, list and resources.",
    });
  }
  const given: unknown = document.toJS({ maxAliasCount: 100 });
  const spec = placed(place, () => parseConfig(sweepFile, given, "sweep"));
  const systems = [spec.system].flat().map((name) => {
    const found = experiments.find((experiment) => experiment.name === name);
    if (found) return found;
    throw new UserError(`there is no system "${name}"`, {
      place,
      hint: namesHint(
        name,
        "systems",
        experiments.map((experiment) => experiment.name),
      ),
    });
  });
  const axes = Object.entries(spec.grid).map(([path, list]) => [path, expand(list)] as const);
  const rows = spec.list ?? [{}];
  const count = axes.reduce((total, [, list]) => total * list.length, systems.length * rows.length);
  if (count > maxRuns) {
    throw new UserError(`the sweep has ${count} runs, at most ${maxRuns} are allowed`, {
      place,
      hint: "Take values out of the grid, or cut it into several files.",
    });
  }

  const seen = new Map<string, number>();
  const runs = systems.flatMap((experiment) =>
    rows.flatMap((row) =>
      combinations(axes).map((point): SweepRun => {
        const varied = { ...row, ...point };
        const clash = Object.keys(row).find((path) => Object.hasOwn(point, path));
        if (clash !== undefined) {
          throw new UserError(`the field "${clash}" stands in both grid and list`, {
            place,
            hint: "Every entry of the list goes with every combination of the grid: name the field in one of them.",
          });
        }
        const fields = Object.entries(varied).reduce(
          (config, [path, value]) => withField(config, path, value, place),
          structuredClone(spec.config),
        );
        const config = placed(place, () => parseExperiment(experiment, fields));
        const id = contentHash([experiment.name, config]).slice(0, 12);
        return {
          id,
          system: experiment.name,
          config,
          varied: systems.length > 1 ? { system: experiment.name, ...varied } : varied,
        };
      }),
    ),
  );
  runs.forEach(({ id, varied }, i) => {
    const first = seen.get(id);
    if (first !== undefined) {
      throw new UserError(`runs ${first + 1} and ${i + 1} are the same: ${JSON.stringify(varied)}`, {
        place,
        hint: "Name each value of a field once; a default counts as a value.",
      });
    }
    seen.set(id, i);
  });
  return {
    name: spec.name ?? nameOf(file),
    runs: withCompanions(runs, spec.seedsTogether),
    resources: resourcesOf(spec.resources),
  };
}

/** The runs with the seeds of those that differ in their seed alone, at the most so many at once. */
function withCompanions(runs: readonly SweepRun[], most: number): SweepRun[] {
  if (most === 1) return [...runs];
  const groups = new Map<string, SweepRun[]>();
  for (const run of runs) {
    const key = keyWithoutSeed(run);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return runs.map((run) => {
    const seeds = (groups.get(keyWithoutSeed(run)) ?? []).map(({ config }) => config.seed as number);
    const at = seeds.indexOf(run.config.seed as number);
    const first = at - (at % most);
    const seedsTogether = seeds.slice(first, first + most);
    return seedsTogether.length > 1 ? { ...run, seedsTogether } : run;
  });
}

function keyWithoutSeed({ system, config: { seed: _, ...rest } }: SweepRun): string {
  return contentHash([system, rest]);
}

const nameOf = (file: string): string =>
  file
    .split(/[\\/]/)
    .at(-1)!
    .replace(/\.ya?ml$/i, "");

function resourcesOf({ memory, threads, device }: z.output<typeof sweepFile>["resources"]): Resources {
  const [, amount, unit] = sizePattern.exec(memory) as RegExpExecArray;
  return { memoryBytes: Math.round(Number(amount) * (unit === "GiB" ? 2 ** 30 : 2 ** 20)), threads, device };
}

const expand = (list: z.output<typeof values>): readonly unknown[] =>
  Array.isArray(list) ? list : Array.from({ length: list.count }, (_, i) => list.from + i);

/** Every choice of one value for each field. The last field runs fastest. */
function combinations(axes: readonly (readonly [string, readonly unknown[]])[]): Record<string, unknown>[] {
  return axes.reduce<Record<string, unknown>[]>(
    (points, [path, list]) => points.flatMap((point) => list.map((value) => ({ ...point, [path]: value }))),
    [{}],
  );
}

/** A copy of `config` with the field at a dotted path set; parents that are not there are made. */
export function withField(
  config: Record<string, unknown>,
  path: string,
  value: unknown,
  place?: { file: string },
): Record<string, unknown> {
  const [key, ...rest] = path.split(".");
  if (key === "" || key === "__proto__")
    throw new UserError(`"${path}" is not the path of a field`, {
      place,
      hint: "Expected names with dots between them, such as world.noise.",
    });
  if (rest.length === 0) return { ...config, [key]: value };
  const child = config[key] ?? {};
  if (typeof child !== "object" || Array.isArray(child)) {
    throw new UserError(`"${path}" leads into "${key}", which is ${JSON.stringify(child)}`, {
      place,
      hint: "A dotted path names a field inside of another, such as world.noise.",
    });
  }
  return { ...config, [key]: withField(child as Record<string, unknown>, rest.join("."), value, place) };
}

/** A UserError of `body` with the sweep file's name. */
function placed<T>(place: { file: string }, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, hint, exitCode } = error;
    throw new UserError(message, { place, hint, exitCode, cause: error });
  }
}
