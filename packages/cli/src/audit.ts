import { basename, join, resolve } from "node:path";
import { audit, auditReport, environment, hashOfFile, report, UserError } from "outgrow";
import { boundaryPart } from "./audit-boundary.js";
import { disparityPart } from "./audit-disparity.js";
import { expansionPart } from "./audit-expansion.js";
import { type AuditSource, slicesOf, sourceOfFile, sourceOfRun } from "./audit-source.js";
import { chooseAmong, pairsOf } from "./choose-weak.js";
import { type Job, perform, type RunOptions } from "./perform.js";

export interface AuditOptions extends RunOptions {
  /** Several: the audit is that of the one whose student should be the best. */
  weak?: string | string[];
  student?: string | string[];
  truth?: string;
  id?: string;
  classes?: string[];
  slice?: string[];
  /** Columns that guess a group which nobody recorded. */
  proxy?: string[];
  /** How often they take a member of each group for another's. */
  proxyErrors?: number[];
  /** The group, where it was recorded. */
  group?: string;
  /** A column that names a neighbour of each row, or several. */
  neighbour?: string;
  /** Columns of a file in which the nearest rows are neighbours. */
  features?: string[];
  /** Of a run: distances of points to the student's boundary. */
  boundary?: boolean;
}

/** What an audit is asked for beyond agreement and accuracy. */
export interface AuditPart extends report.ReportSection {
  /** Its name in `audit.json`. */
  name: string;
  records: unknown;
}

/** `outgrow audit RUN|FILE`: whether a student can be trusted. */
export async function auditCommand(named: string, options: AuditOptions, signal: AbortSignal): Promise<void> {
  const { out, json, ...given } = options;
  await perform(await auditJob({ named, ...given }), { out, json, signal });
}

export type AuditConfiguration = { named: string } & Omit<AuditOptions, keyof RunOptions>;

/** An audit as a run. `path` is where the examples are, by default where the configuration says. */
export async function auditJob(configuration: AuditConfiguration, path?: string): Promise<Job> {
  const { named, slice = [] } = configuration;
  const isFile = configuration.weak !== undefined || configuration.student !== undefined;
  if (isFile && (configuration.weak === undefined || configuration.student === undefined)) {
    throw new UserError("an audit of a file needs a column of weak labels and one of the student's", {
      hint: "Give --weak and --student; or the id of a run of fit, without either.",
    });
  }
  const file = path ?? named;
  const { truth, id, classes } = configuration;
  const pairs = pairsOf([configuration.weak ?? []].flat(), [configuration.student ?? []].flat());
  const several = pairs.length > 1 ? await chooseAmong(file, pairs, { truth, id, classes }) : undefined;
  const source: AuditSource = isFile
    ? await sourceOfFile(file, { truth, id, classes, ...(several?.chosen ?? pairs[0]) })
    : await sourceOfRun(named, path);
  const { examples } = source;
  const slices = await slicesOf(source, slice);
  return {
    kind: "audit",
    configuration: { ...configuration },
    inputs: {
      examples: {
        path: resolve(source.file),
        bytes: examples.table.rows.length,
        sha256: hashOfFile(source.file) as string,
      },
    },
    async work() {
      const parts = [
        await disparityPart(source, configuration),
        await expansionPart(source, configuration),
        await boundaryPart(source, configuration),
      ].filter((part) => part !== undefined);
      const result = audit({ ...examples, slices });
      const page = await auditReport(result, {
        subject: several ? `${several.chosen.weak} in ${basename(named)}` : basename(named),
        classes: examples.classes,
        ids: examples.ids,
        configuration,
        environment: environment(),
        parts,
      });
      const records = {
        ...result,
        ...(several ? { choice: several.choice } : {}),
        ...Object.fromEntries(parts.map((part) => [part.name, part.records])),
      };
      if (several) page.tables.unshift(report.supervisorChoice(several.choice));
      const left = examples.abstained.ids.length;
      if (left > 0) page.notes.push(`${left} rows have no weak label: the audit is of the others.`);
      return {
        records,
        outcome: {
          report: page,
          files: { "audit.json": `${JSON.stringify(records, null, 2)}\n` },
          results: { verdict: result.verdict, agreement: result.agreement, gain: result.gain?.mean ?? null },
        },
        print(folder) {
          const colour = report.wantsColour();
          for (const table of page.tables) console.log(`\n${report.formatTable(table, { colour })}`);
          console.log(`\n${page.lead}\n`);
          console.log(`Report  ${join(folder, "report.html")}`);
          console.log(`Audit   ${join(folder, "audit.json")}`);
        },
      };
    },
  };
}
