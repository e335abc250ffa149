import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { silentProgress } from "../../report/progress.js";
import type { Experiment } from "../experiment.js";
import { homeLayout } from "../home.js";
import { Lab, type StageRunOptions } from "../lab.js";
import { aboutName, StageOutput } from "../output.js";
import type { Stage, StageInput } from "../stage.js";
import type { SweepRun } from "./spec.js";

/** A stage that a run needs. */
export interface PlannedStage {
  name: string;
  key: string;
  cached: boolean;
}

export interface RunPlan {
  stages: PlannedStage[];
  /** Whether these are all: what follows from the contents of an output that is yet to be computed is not known. */
  complete: boolean;
}

/** What is thrown where something wants to look into an output that is yet to be computed. */
class NotComputed extends Error {}

/** The place of an output that is yet to be computed. Its hash stands for what it will be. */
class FutureOutput extends StageOutput {
  constructor(stage: string, key: string) {
    super(stage, key, "", false, { version: 1, files: { [key]: { bytes: 0, sha256: key } } });
  }
  override async read(): Promise<never> {
    throw new NotComputed();
  }
}

/**
 * A lab that computes nothing: stages that are not there give outputs that cannot be read, but may be inputs of further
 * stages. Runs that share a stage share it here as well.
 */
class PlanningLab extends Lab {
  readonly stages: PlannedStage[] = [];

  override async run<Schema extends z.ZodObject, Inputs extends { [Name in keyof Inputs]: StageInput }>(
    stage: Stage<Schema, Inputs>,
    config: z.input<Schema>,
    inputs: Inputs,
    options: StageRunOptions = {},
  ): Promise<StageOutput> {
    const { key, cached } = await this.lookUp(stage, config, inputs);
    this.stages.push({ name: stage.name, key, cached });
    return cached ? super.run(stage, config, inputs, options) : new FutureOutput(stage.name, key);
  }
}

/** The stages of a run, without computing any. */
export async function planRun(
  experiment: Experiment,
  { config, seedsTogether }: Pick<SweepRun, "config" | "seedsTogether">,
  options: { home?: string; signal: AbortSignal },
): Promise<RunPlan> {
  const lab = new PlanningLab({ home: options.home, warn: () => {} });
  try {
    await experiment.run(config, { lab, progress: silentProgress, signal: options.signal, seedsTogether });
    return { stages: lab.stages, complete: true };
  } catch (error) {
    if (error instanceof NotComputed) return { stages: lab.stages, complete: false };
    throw error;
  } finally {
    await lab.close();
  }
}

export interface SweepPlan {
  /** Every stage once, however many runs need it. */
  stages: PlannedStage[];
  /** Uses of stages by all runs together. */
  uses: number;
  complete: boolean;
  /** Seconds of computing on one worker; null where no stage of some name has been computed here before. */
  seconds: number | null;
}

/**
 * The stages of several runs together, and how long they will take by what such stages took before.
 *
 * @param kept outputs that are in the home
 */
export async function planSweep(
  plans: readonly RunPlan[],
  home: string,
  kept: readonly { key: string; stage: string }[],
): Promise<SweepPlan> {
  const stages = new Map(plans.flatMap((plan) => plan.stages).map((stage) => [stage.key, stage]));
  const open = [...stages.values()].filter(({ cached }) => !cached);
  const seconds = new Map<string, number | null>();
  for (const { name } of open) {
    if (!seconds.has(name)) seconds.set(name, await meanSeconds(home, name, kept));
  }
  const total = open.reduce<number | null>((sum, { name }) => {
    const each = seconds.get(name) ?? null;
    return sum === null || each === null ? null : sum + each;
  }, 0);
  return {
    stages: [...stages.values()],
    uses: plans.reduce((sum, plan) => sum + plan.stages.length, 0),
    complete: plans.every(({ complete }) => complete),
    seconds: total,
  };
}

/** As many past stages of one name are looked at. */
const SAMPLES = 20;

/** Mean time of a stage where it was computed before; null where it never was. */
async function meanSeconds(
  home: string,
  name: string,
  kept: readonly { key: string; stage: string }[],
): Promise<number | null> {
  const samples = kept.filter(({ stage }) => stage === name).slice(-SAMPLES);
  const times = await Promise.all(
    samples.map(async ({ key }) => {
      const about = await readFile(join(homeLayout(home).stage(key), aboutName), "utf8");
      return (JSON.parse(about) as { seconds: number }).seconds;
    }),
  );
  return times.length === 0 ? null : times.reduce((a, b) => a + b, 0) / times.length;
}
