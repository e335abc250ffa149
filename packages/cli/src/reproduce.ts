import { join } from "node:path";
import { studies } from "@outgrow/systems";
import {
  type AtlasEntry,
  atlasRecord,
  atlasReport,
  type ClaimResult,
  claimed,
  type EndedRun,
  inProcesses,
  inThisProcess,
  judgeStudy,
  Lab,
  namesHint,
  pageOf,
  planReproduction,
  type Reproduction,
  type ReproductionOptions,
  report,
  runSweep,
  type Study,
  SweepDisplay,
  studyReport,
  tidyTable,
  toCsv,
  UserError,
} from "outgrow";
import { type Job, perform, type RunOptions } from "./perform.js";

export interface ReproduceOptions extends RunOptions {
  all?: boolean;
  seeds?: number;
  firstSeed?: number;
  only?: string[];
  set?: { path: string; value: string }[];
  quick?: boolean;
  workers?: number;
}

const script = new URL("./run-process.js", import.meta.url);

/** `outgrow reproduce NAME`: a published system's experiment, and what becomes of its claims. */
export async function reproduce(
  name: string | undefined,
  { all, seeds, firstSeed, only, set, quick, workers, ...options }: ReproduceOptions,
  signal: AbortSignal,
): Promise<void> {
  if ((all === true) === (name !== undefined)) {
    throw new UserError("name one system, or give --all", { hint: "outgrow systems lists them." });
  }
  if (name === undefined) {
    if (only || (set?.length ?? 0) > 0 || quick) {
      throw new UserError("--only, --set and --quick are for one system", {
        hint: "Name it in place of --all.",
      });
    }
    await perform(atlasJob({ seeds, firstSeed }, workers), { ...options, signal });
    return;
  }
  const study = studyNamed(name);
  const fields = Object.fromEntries((set ?? []).map(({ path, value }) => [path, parsed(value)]));
  const asked = { seeds, firstSeed, only, set: { ...(quick ? study.quick : {}), ...fields } };
  await perform(reproductionJob(study, asked, workers), { ...options, signal });
}

export function studyNamed(name: string): Study {
  const found = studies.find((study) => study.name === name);
  if (found) return found;
  throw new UserError(`there is no system "${name}"`, {
    hint: namesHint(
      name,
      "systems",
      studies.map((study) => study.name),
    ),
  });
}

/** The reproduction of a run that was recorded. */
export function reproductionOfRecord(configuration: Record<string, unknown>): Job {
  const { system, ...options } = configuration as unknown as { system: string } & ReproductionOptions;
  return reproductionJob(studyNamed(system), options);
}

/** A study with several seeds as a run. How many processes do them changes nothing in the results. */
export function reproductionJob(study: Study, options: ReproductionOptions, workers?: number): Job {
  const plan = planReproduction(study, options);
  return {
    kind: "reproduce",
    configuration: JSON.parse(JSON.stringify({ system: study.name, ...options })),
    async work(lab, signal) {
      const { outcome, report: result, ended } = await runReproduction(plan, { lab, signal, workers });
      const { claims, controls, failed } = outcome;
      return {
        records: { claims, controls, failed },
        outcome: {
          report: result,
          files: {
            "rows.csv": toCsv(tidyTable(ended)),
            "claims.json": `${JSON.stringify({ system: study.name, claims, controls, failed }, null, 2)}\n`,
          },
          results: Object.fromEntries([...claims, ...controls].map(({ id, verdict }) => [id, verdict])),
        },
        print(folder) {
          const { paper } = study;
          console.log(`\n${study.title}: ${paper.authors} ${paper.year}, ${paper.url}\n`);
          for (const claim of claims) printClaim(claim);
          if (controls.length > 0) console.log("Negative controls: the effect must vanish");
          for (const claim of controls) printClaim(claim);
          for (const { seed, reason } of failed) console.log(`Seed ${seed} failed: ${reason}`);
          console.log(`${result.lead}\n`);
          console.log(`Report   ${join(folder, "report.html")}`);
          console.log(`Rows     ${join(folder, "rows.csv")}, claims.json`);
          if (failed.length > 0) process.exitCode = 1;
        },
      };
    },
  };
}

/** Runs all seeds of a study and judges its claims. */
async function runReproduction(
  plan: Reproduction,
  { lab, signal, workers }: { lab: Lab; signal: AbortSignal; workers?: number },
): Promise<AtlasEntry & { ended: EndedRun[] }> {
  const begun = performance.now();
  const { study, runs, resources } = plan;
  const executor =
    workers === 0
      ? inThisProcess([study], (onStage) => new Lab({ home: lab.home, onStage }))
      : inProcesses({ script, resources, workers, env: { OUTGROW_HOME: lab.home } });
  const display = new SweepDisplay(process.stderr, runs.length, await executor.parallel());
  let ended: EndedRun[];
  try {
    const sweep = { name: study.name, runs, resources };
    ended = await runSweep(sweep, executor, { lab, signal, onEvent: (event) => display.show(event) });
  } finally {
    display.finish();
    await executor.close();
  }
  const outcome = judgeStudy(plan, ended);
  const seconds = (performance.now() - begun) / 1000;
  return { plan, ended, outcome, seconds, report: await studyReport(plan, outcome, seconds) };
}

/** All studies with the same options as one run: a page for each, one table, and the measures as a file. */
export function atlasJob(options: ReproductionOptions, workers?: number): Job {
  const plans = studies.map((study) => planReproduction(study, options));
  return {
    kind: "atlas",
    configuration: JSON.parse(JSON.stringify(options)),
    async work(lab, signal) {
      const entries: AtlasEntry[] = [];
      for (const [i, plan] of plans.entries()) {
        console.error(`${i + 1} of ${plans.length}: ${plan.study.title}`);
        entries.push(await runReproduction(plan, { lab, signal, workers }));
      }
      const record = atlasRecord(entries);
      const pages = entries.map(({ plan, report: page }) => [
        pageOf(plan.study.name),
        report.renderReport(page),
      ]);
      const result = atlasReport(entries);
      const failed = entries.filter(({ outcome }) => outcome.failed.length > 0);
      return {
        records: record.systems,
        outcome: {
          report: result,
          files: { ...Object.fromEntries(pages), "atlas.json": `${JSON.stringify(record, null, 1)}\n` },
          results: Object.fromEntries(
            record.systems.map(({ name, claims }) => [
              name,
              claims.map(({ id, verdict }) => `${id} ${verdict}`).join(", "),
            ]),
          ),
        },
        print(folder) {
          for (const table of result.tables)
            console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}`);
          console.log(`\n${result.lead}\n`);
          console.log(`Atlas    ${join(folder, "report.html")}`);
          console.log(`Measures ${join(folder, "atlas.json")}`);
          for (const { plan, outcome } of failed)
            for (const { seed, reason } of outcome.failed)
              console.log(`${plan.study.name}, seed ${seed} failed: ${reason}`);
          if (failed.length > 0) process.exitCode = 1;
        },
      };
    },
  };
}

function printClaim({ id, statement, parts, verdict, holdsCorrected, paper }: ClaimResult): void {
  const after = verdict === "holds" && !holdsCorrected ? " (not when all claims are judged at once)" : "";
  console.log(`${id}  ${statement}  ${verdict.toUpperCase()}${after}`);
  for (const part of parts) {
    const { mean, low, high, statistic, defined, total, groups } = part;
    const number = (value: number | null) => (value === null ? "–" : value.toPrecision(3));
    const interval = low === null ? "" : ` [${number(low)}, ${number(high)}]`;
    const missing = defined < total ? `, ${defined} of ${total} defined` : "";
    console.log(
      `    ${number(mean)}${interval} ${claimed(part)}: ${statistic} (n = ${groups}${missing})${parts.length > 1 ? `: ${part.verdict}` : ""}`,
    );
  }
  if (paper) console.log(`    the paper: ${paper.value} (${paper.source})`);
}

/** A value of the command line: a number, true, false, null, JSON, or else text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
