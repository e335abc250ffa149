import { join } from "node:path";
import { studies } from "@outgrow/systems";
import {
  type ClaimResult,
  claimed,
  type EndedRun,
  inProcesses,
  inThisProcess,
  judgeStudy,
  Lab,
  namesHint,
  planReproduction,
  type ReproductionOptions,
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
  name: string,
  { seeds, firstSeed, only, set, quick, workers, ...options }: ReproduceOptions,
  signal: AbortSignal,
): Promise<void> {
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
      const begun = performance.now();
      const executor =
        workers === 0
          ? inThisProcess([study], (onStage) => new Lab({ home: lab.home, onStage }))
          : inProcesses({ script, resources: plan.resources, workers, env: { OUTGROW_HOME: lab.home } });
      const display = new SweepDisplay(process.stderr, plan.runs.length, await executor.parallel());
      let ended: EndedRun[];
      try {
        const sweep = { name: study.name, runs: plan.runs, resources: plan.resources };
        ended = await runSweep(sweep, executor, { lab, signal, onEvent: (event) => display.show(event) });
      } finally {
        display.finish();
        await executor.close();
      }
      const outcome = judgeStudy(plan, ended);
      const result = await studyReport(plan, outcome, (performance.now() - begun) / 1000);
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
