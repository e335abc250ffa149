import {
  applyScaling,
  argmaxRows,
  expansionAudit,
  expansionSection,
  fitScaling,
  type Neighbours,
  UserError,
} from "outgrow";
import type { AuditConfiguration, AuditPart } from "./audit.js";
import type { AuditSource } from "./audit-source.js";

/** What expansion foretells of the student: where neighbours are named, or there are features to find them in, and some truth. */
export async function expansionPart(
  source: AuditSource,
  { neighbour, features }: AuditConfiguration,
): Promise<AuditPart | undefined> {
  const { examples, ofRun } = source;
  const { abstained, classes } = examples;
  if (ofRun && features) {
    throw new UserError("the features of a run are those that it was given", {
      hint: "Leave out --features, or name neighbours with --neighbour COLUMN.",
    });
  }
  const ofFit = (ofRun?.record.configuration as { features?: string[] } | undefined)?.features;
  const isAsked = neighbour !== undefined || features !== undefined;
  const inputs = features ?? ofFit;
  if (!isAsked && inputs === undefined) return undefined;
  if (examples.truth === undefined) {
    if (!isAsked) return undefined;
    throw new UserError(
      "expansion is measured apart for right and wrong weak labels, which takes the truth of some rows",
      {
        hint: "Give --truth with a column in which some rows are filled in.",
      },
    );
  }
  const ids = [...examples.ids, ...abstained.ids];
  const neighbours =
    neighbour === undefined ? await nearest(source, inputs as string[]) : await named(source, neighbour, ids);
  const hard = (values: Float32Array) => [...argmaxRows(values, classes.length)];
  const records = expansionAudit({
    weak: Int32Array.from([...hard(examples.weak.values), ...abstained.ids.map(() => -1)]),
    student: Int32Array.from([...hard(examples.student.values), ...hard(abstained.student.values)]),
    truth: Int32Array.from([...examples.truth, ...(abstained.truth ?? [])]),
    classes: classes.length,
    neighbours,
  });
  const words =
    neighbour === undefined
      ? `the nearest rows in ${(inputs as string[]).join(", ")}, each with variance 1`
      : `those that "${neighbour}" names`;
  return {
    name: "expansion",
    records: { neighbours: words, classes: records },
    ...expansionSection(records, { classes, source: words }),
  };
}

async function nearest(source: AuditSource, features: readonly string[]): Promise<Neighbours> {
  const columns = await source.columns(features);
  const [count, width] = [columns[0].length, features.length];
  const values = Float32Array.from({ length: count * width }, (_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    const value = columns[column][row];
    const isEmpty = value === null || value === undefined || String(value).trim() === "";
    if (!isEmpty && Number.isFinite(Number(value))) return Number(value);
    throw new UserError(
      `${JSON.stringify(value)} is not a number, and the nearest rows are looked for by numbers`,
      {
        place: { file: source.file, column: features[column] },
      },
    );
  });
  const all = Int32Array.from({ length: count }, (_, i) => i);
  return { kind: "nearest", points: applyScaling(values, fitScaling(values, [count, width], all)), width };
}

async function named(source: AuditSource, column: string, ids: readonly string[]): Promise<Neighbours> {
  const [cells] = await source.columns([column]);
  // Names of rows without an --id are "line 2"; the number alone will do.
  const rowOf = new Map(
    ids.flatMap((id, row) => [[id, row] as const, [id.replace(/^line /, ""), row] as const]),
  );
  const rows = cells.map((cell, i) => {
    const names = listed(cell);
    const found = names.flatMap((name) => rowOf.get(name) ?? []);
    // Of a run, rows that trained the weak supervisor are not looked at.
    if (names.length > 0 && found.length === 0 && source.ofRun === undefined) {
      throw new UserError(`"${names[0]}" is the neighbour of ${ids[i]}, but no row has that id`, {
        place: { file: source.file, column },
        hint: "Neighbours are named by --id, or by the number of their line.",
      });
    }
    return found;
  });
  return { kind: "named", rows };
}

/** A cell with one name, or a JSON list of them. */
function listed(cell: unknown): string[] {
  const value = typeof cell === "string" && cell.trim().startsWith("[") ? parsed(cell) : cell;
  return [value ?? []]
    .flat()
    .map(String)
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UserError(`malformed JSON in a list of neighbours: ${text.slice(0, 80)}`, { cause });
  }
}
