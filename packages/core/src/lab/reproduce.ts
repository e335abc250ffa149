import { namesHint } from "../data/nearest.js";
import { UserError } from "../errors.js";
import { type Claim, type ClaimResult, judgeClaims } from "../measure/claims.js";
import { contentHash } from "./content-hash.js";
import { parseExperiment, type ResultRow } from "./experiment.js";
import { type Study, StudyResults } from "./study.js";
import { type Resources, type SweepRun, withField } from "./sweep/spec.js";
import type { EndedRun } from "./sweep/sweep.js";

export interface ReproductionOptions {
  /** How many; default the study's. */
  seeds?: number;
  /** Default 0. */
  firstSeed?: number;
  /** Ids of claims; default all. Controls are always judged. */
  only?: readonly string[];
  /** Fields that differ from the defaults, by their dotted paths. */
  set?: Readonly<Record<string, unknown>>;
}

/** A study for several seeds, one run each. */
export interface Reproduction {
  study: Study;
  runs: SweepRun[];
  resources: Resources;
  /** Claims to judge, and the controls that stand beside them. */
  claims: readonly Claim<StudyResults>[];
  controls: readonly Claim<StudyResults>[];
}

/** @throws UserError for unknown claims and fields (with the nearest), and values that the study refuses */
export function planReproduction(
  study: Study,
  { seeds = study.seeds, firstSeed = 0, only, set = {} }: ReproductionOptions = {},
): Reproduction {
  const known = [...study.claims, ...study.controls].map(({ id }) => id);
  for (const id of only ?? []) {
    if (!known.includes(id)) {
      throw new UserError(`${study.name} has no claim "${id}"`, { hint: namesHint(id, "claims", known) });
    }
  }
  if (Object.hasOwn(set, "seed")) {
    throw new UserError("the seed of a study is not set as a field", {
      hint: "--seeds says how many, --first-seed which is the first.",
    });
  }
  const wanted = (claim: Claim<StudyResults>) => only === undefined || only.includes(claim.id);
  const claims = study.claims.filter(wanted);
  const needed = new Set(claims.flatMap(({ needs }) => needs ?? study.parts ?? []));
  for (const control of study.controls.filter(wanted)) {
    if (only !== undefined) for (const part of control.needs ?? []) needed.add(part);
  }
  const parts = study.parts?.filter((part) => needed.has(part));
  const runs = Array.from({ length: seeds }, (_, i): SweepRun => {
    const fields = Object.entries(set).reduce<Record<string, unknown>>(
      (config, [path, value]) => withField(config, path, value),
      { ...(parts && { parts }), seed: firstSeed + i },
    );
    const config = parseExperiment(study, fields);
    return {
      system: study.name,
      id: contentHash([study.name, config]).slice(0, 12),
      config,
      varied: { seed: firstSeed + i },
    };
  });
  const ran = new Set((runs[0].config.parts as string[] | undefined) ?? study.parts ?? []);
  const possible = ({ needs = [] }: Claim<StudyResults>) => needs.every((part) => ran.has(part));
  return {
    study,
    runs,
    resources: { memoryBytes: 2 * 2 ** 30, threads: 1, device: "cpu" },
    claims: claims.filter(possible),
    controls: study.controls.filter(possible),
  };
}

/** What came out of a study. */
export interface StudyOutcome {
  claims: ClaimResult[];
  controls: ClaimResult[];
  results: StudyResults;
  seeds: number;
  /** Seeds whose run failed. Nothing is judged while there are any: no seed is dropped. */
  failed: { seed: number; reason: string }[];
}

/** Judges the claims on the rows of all seeds; claims and controls each as a family of their own. */
export function judgeStudy(
  { study, claims, controls }: Reproduction,
  ended: readonly EndedRun[],
): StudyOutcome {
  const seedOf = ({ run }: EndedRun) => run.config.seed as number;
  const rows = ended.flatMap((run) =>
    run.rows.map((row): ResultRow & { seed: number } => ({ ...row, seed: seedOf(run) })),
  );
  const results = new StudyResults(rows, study);
  const failed = ended.flatMap((run) =>
    run.outcome.status === "failed" ? [{ seed: seedOf(run), reason: run.outcome.reason }] : [],
  );
  const judge = (all: readonly Claim<StudyResults>[]) => (failed.length > 0 ? [] : judgeClaims(all, results));
  return { claims: judge(claims), controls: judge(controls), results, seeds: ended.length, failed };
}
