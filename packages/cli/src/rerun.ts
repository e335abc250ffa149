import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareRuns, hashOfFile, isSameRun, type RunRecord, UserError } from "outgrow";
import { auditJob } from "./audit.js";
import { describeComparison } from "./diff.js";
import { findRun } from "./find-run.js";
import { fitJob } from "./fit.js";
import { finetuneJob, pretrainJob } from "./language-model.js";
import { type Job, perform, type RunOptions } from "./perform.js";
import { atlasJob, reproductionOfRecord } from "./reproduce.js";
import { studyJob } from "./start.js";
import { sweepOfRecord } from "./sweep.js";

/** The kinds of runs, by what repeats them. */
const kinds: Record<string, (record: RunRecord) => Job | Promise<Job>> = {
  w2sg: ({ configuration }) => studyJob(configuration),
  sweep: ({ configuration }) => sweepOfRecord(configuration),
  atlas: ({ configuration }) => atlasJob(configuration),
  pretrain: ({ configuration }) => pretrainJob(configuration),
  finetune: ({ configuration }) => finetuneJob(configuration),
  reproduce: ({ configuration }) => reproductionOfRecord(configuration),
  audit: ({ configuration, inputs }) =>
    auditJob(configuration as Parameters<typeof auditJob>[0], inputs.examples.path),
  fit: ({ configuration, inputs }) => fitJob(configuration as Parameters<typeof fitJob>[0], inputs.data.path),
};

/**
 * `outgrow rerun ID`: does all the work of a run again, with none of its stages taken from the cache, and compares the
 * hashes. The exit code is 1 where bits differ.
 */
export async function rerun(named: string, options: RunOptions, signal: AbortSignal): Promise<void> {
  const first = await findRun(named);
  const { record } = first;
  if (record.status !== "done" || record.files === undefined) {
    throw new UserError(`run ${record.id} has no results that a repetition could be compared with`, {
      hint: `It was ${record.status}. The same command finishes it: outgrow ${record.command.join(" ")}`,
    });
  }
  if (!Object.hasOwn(kinds, record.kind)) {
    throw new UserError(`runs of the kind "${record.kind}" cannot be repeated by this version`);
  }
  for (const [name, { path, sha256 }] of Object.entries(record.inputs)) refuseOtherFile(name, path, sha256);
  const home = await mkdtemp(join(tmpdir(), "outgrow-rerun-"));
  try {
    const job = await kinds[record.kind](record);
    const repeated = await perform(job, { ...options, signal, repeats: { id: record.id, home } });
    const second = await findRun(repeated.id);
    const comparison = compareRuns(first, second);
    const same = isSameRun(comparison);
    const [files, stages] = [Object.keys(record.files).length, comparison.stages.same];
    if (options.json) {
      const { id, folder } = second.record;
      console.log(JSON.stringify({ id, repeats: record.id, folder, same, ...comparison }));
    } else if (same) {
      console.log(
        `\nThe same bits as ${record.id}: ${files} files and ${stages} stages have the same hashes.`,
      );
      const { onlySecond } = comparison.stages;
      const other = Object.values(onlySecond).reduce((sum, number) => sum + number, 0);
      if (other > 0)
        console.log(`${other} stages have other keys, because their code is not that of the run.`);
    } else {
      console.log(`\nNot the same bits as ${record.id}:\n${describeComparison(comparison)}`);
    }
    if (!same) process.exitCode = 1;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

function refuseOtherFile(name: string, path: string, sha256: string): void {
  const found = existsSync(path) ? hashOfFile(path) : undefined;
  if (found === sha256) return;
  throw new UserError(
    found === undefined
      ? `the file that the run read as its ${name} is not there`
      : `the file that the run read as its ${name} was altered since: its SHA-256 is ${found}, expected ${sha256}`,
    { place: { file: path }, hint: "Put the file back as it was, or start a run of its own with it." },
  );
}
