import type { z } from "zod";
import type { Progress } from "../report/progress.js";
import { parseConfig } from "../worlds/config.js";
import type { Lab } from "./lab.js";

/** A value in a table of results. null: it is not defined, and the row says why or its column's text does. */
export type Value = string | number | boolean | null;

/** What was measured once: conditions and measures by the names of their columns. */
export type ResultRow = Readonly<Record<string, Value>>;

export interface ExperimentContext {
  lab: Lab;
  progress: Progress;
  signal: AbortSignal;
  /**
   * Seeds of runs that differ from this one in nothing else, its own among them. Small trainings of them all may be one
   * batched training, in a stage that these runs share.
   */
  seedsTogether?: readonly number[];
}

/** Work with a configuration that ends in a table: what `outgrow sweep` runs many times. */
export interface Experiment<Schema extends z.ZodObject = z.ZodObject> {
  /** E.g. `w2sg`. */
  name: string;
  title: string;
  /** Absent fields get their defaults; unknown ones are refused. A field `seed` gives all randomness. */
  schema: Schema;
  /**
   * Columns of numbers that reports show the mean of, the most important first; more is better for none or all of them,
   * as their names say.
   */
  measures: readonly string[];
  /** Columns that tell the rows of one run from each other, for the groups of a report. */
  conditions: readonly string[];
  /**
   * The rows of one run. All work goes through `context.lab`, so that it is shared with other runs and not lost. The rows
   * depend on the configuration alone.
   */
  run(config: z.output<Schema>, context: ExperimentContext): Promise<ResultRow[]>;
}

/** The complete configuration of a run. @throws UserError naming the field, and the nearest known one */
export function parseExperiment(experiment: Experiment, given: unknown): Record<string, unknown> {
  return parseConfig(experiment.schema, given, `system ${experiment.name}`);
}
