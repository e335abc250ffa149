import { UserError } from "../errors.js";
import { readFeatures } from "./features.js";
import {
  findClasses,
  indexLabels,
  type LabelColumn,
  readHardLabels,
  readWeakLabels,
  toSoftLabels,
  type WeakCell,
} from "./labels.js";
import { isMatrixFile, readMatrixLabels, readMatrixOf } from "./matrix-columns.js";
import { mixLabels, type SoftLabels } from "./soft-labels.js";
import { column, columnName, placeOf, readTable, type Table, type TableOptions } from "./table.js";

export { applyScaling, fitScaling, type Scaling, standardise } from "./features.js";
export { argmaxRow, argmaxRows, mixLabels, type SoftLabels } from "./soft-labels.js";

/** Which columns of a table are what. Columns are given by name, or by number counted from 1. */
export interface ClassificationSpec extends Omit<TableOptions, "wanted"> {
  /** Columns of text; several are joined with a line break. Either these or `features`. */
  text?: readonly string[];
  /** Columns of numbers, or one `.npy` file with a row for each row of the table. */
  features?: readonly string[];
  /**
   * Column of weak labels: class names, or probabilities as JSON; or a `.npy` file of probabilities or logits `[n, classes]`.
   * Several where there are several supervisors.
   */
  weak?: string | readonly string[];
  /** Column of true class names; some may be missing. */
  truth?: string;
  /** Column of names for the rows, all different. Default: the line of the file. */
  id?: string;
  /** All class names in order. Default: those in the label columns, by value if all are integers, else by name. */
  classes?: readonly string[];
}

/** A table of n rows to classify. */
export interface ClassificationData {
  /** Path as it was given. */
  file: string;
  /** `[n]`: all different. */
  ids: string[];
  /** `[n]`: line of the file on which each row starts, counted from 1. */
  lines: number[];
  inputs: ClassificationInputs;
  /** At least two, in the order of the indices. */
  classes: string[];
  /** Of several supervisors their equal mean. */
  weak?: SoftLabels;
  /** The labels of each, where there are several. */
  supervisors?: NamedLabels[];
  /** `[n]`: class index, -1 where it is missing. */
  truth?: Int32Array;
  /** Whether the weak labels were class names, not probabilities. */
  weakWasHard: boolean;
}

/** What one of several supervisors says of all rows. */
export interface NamedLabels {
  /** Its column. */
  name: string;
  labels: SoftLabels;
}

export type ClassificationInputs =
  | { kind: "text"; texts: string[] }
  | {
      kind: "features";
      /** `[n, d]`, row by row, as in the file. */
      features: Float32Array;
      shape: [n: number, d: number];
      /** `[d]`: column names. */
      names: string[];
    };

/**
 * Reads a classification data set from a CSV or JSONL file.
 *
 * @throws UserError with file, row and column for everything that would make a run meaningless: no labels,
 *   one class, a class seen once, all weak labels alike, empty texts, values that are not numbers, repeated
 *   ids, missing weak labels, probabilities that do not sum to 1, and all that {@link readTable} refuses
 */
export async function readClassification(
  file: string,
  spec: ClassificationSpec,
): Promise<ClassificationData> {
  refuseBadSpec(file, spec);
  const { text = [], features = [], format, header, maxBytes } = spec;
  const inputMatrix = features.length === 1 && isMatrixFile(features[0]) ? features[0] : undefined;
  const numbers = inputMatrix === undefined ? features : [];
  const weakSources = [spec.weak ?? []].flat();
  const weakColumns = weakSources.filter((name) => !isMatrixFile(name));
  const labelColumns = [...weakColumns, ...(spec.truth === undefined ? [] : [spec.truth])];
  const wanted = [...text, ...numbers, ...labelColumns, ...(spec.id === undefined ? [] : [spec.id])];
  const table = await readTable(file, { format, header, maxBytes, wanted });
  const inputColumns = [...text, ...numbers].map((name) => columnName(table, name));
  refuseLabelsAsInputs(table, inputColumns, labelColumns);

  const ids = readIds(table, spec.id);
  const inputs: ClassificationInputs =
    text.length > 0
      ? { kind: "text", texts: readTexts(table, inputColumns) }
      : inputMatrix !== undefined
        ? await matrixInputs(inputMatrix, table.rows.length)
        : {
            kind: "features",
            features: readFeatures(table, inputColumns),
            shape: [table.rows.length, inputColumns.length],
            names: inputColumns,
          };
  const truth = spec.truth === undefined ? undefined : readHardLabels(table, columnName(table, spec.truth));
  const weak = weakColumns.map((name) => readWeakLabels(table, columnName(table, name)));
  refuseTwice(table, [...weak, ...weakSources.filter(isMatrixFile).map((name) => ({ name }))]);
  const classes = spec.classes ? [...spec.classes] : classesOf(truth, weak);
  const supervisors: NamedLabels[] = [];
  for (const source of weakSources) {
    const own = weak[weakColumns.indexOf(source)];
    supervisors.push(
      own
        ? { name: own.name, labels: toSoftLabels(own, classes, ids) }
        : { name: source, labels: await readMatrixLabels(source, ids, classes) },
    );
  }
  return {
    file,
    ids,
    lines: table.rows.map(({ line }) => line),
    inputs,
    classes,
    truth: truth && indexLabels(truth, classes),
    weak: supervisors.length > 0 ? mixLabels(supervisors.map(({ labels }) => labels)) : undefined,
    ...(supervisors.length > 1 && { supervisors }),
    weakWasHard:
      weak.length > 0 &&
      weak.length === supervisors.length &&
      weak.every(({ cells }) => cells[0].kind === "hard"),
  };
}

/** Supervisors of the same task need not all name each class. */
function classesOf(
  truth: LabelColumn<string | undefined> | undefined,
  weak: readonly LabelColumn<WeakCell>[],
): string[] {
  if (weak.length <= 1) return findClasses(truth, weak[0]);
  for (const own of weak) findClasses(truth, own); // refuses lists whose order is not known
  return findClasses(truth, { ...weak[0], cells: weak.flatMap(({ cells }) => cells) });
}

function refuseTwice(table: Table, weak: readonly { name: string }[]): void {
  const twice = weak.find(({ name }, i) => weak.findIndex((other) => other.name === name) < i);
  if (!twice) return;
  throw new UserError("the column is named twice as weak labels", {
    place: placeOf(table, undefined, twice.name),
    hint: "Name each supervisor's column once.",
  });
}

async function matrixInputs(file: string, rows: number): Promise<ClassificationInputs> {
  const { values, shape } = await readMatrixOf(file, rows);
  const names = Array.from({ length: shape[1] }, (_, j) => `feature ${j}`);
  return { kind: "features", features: values, shape, names };
}

function refuseBadSpec(
  file: string,
  { text = [], features = [], weak, truth, classes }: ClassificationSpec,
): void {
  const place = { file };
  if (text.length > 0 === features.length > 0) {
    throw new UserError(text.length > 0 ? "both text and features are named" : "no input column is named", {
      place,
      hint: "Name the columns of text or the columns of numbers that the model sees.",
    });
  }
  if ([weak ?? []].flat().length === 0 && truth === undefined) {
    throw new UserError("no label column is named", {
      place,
      hint: "Name the column of weak labels, of true labels, or both.",
    });
  }
  if (classes === undefined) return;
  const repeated = classes.find(
    (name, i) => name.trim() !== name || name === "" || classes.indexOf(name) < i,
  );
  if (repeated !== undefined) {
    throw new UserError(`class ${JSON.stringify(repeated)} is empty, repeated or has spaces around it`, {
      place,
    });
  }
  if (classes.length < 2) {
    throw new UserError(`${classes.length} class is listed, expected at least two`, { place });
  }
}

function refuseLabelsAsInputs(table: Table, inputs: readonly string[], labels: readonly string[]): void {
  for (const name of labels.map((label) => columnName(table, label))) {
    if (!inputs.includes(name)) continue;
    throw new UserError("the column is both an input and a label", {
      place: placeOf(table, undefined, name),
      hint: "A model that sees the label has nothing to learn. Leave the column out of the inputs.",
    });
  }
}

function readIds(table: Table, idColumn: string | undefined): string[] {
  if (idColumn === undefined) return table.rows.map(({ line }) => String(line));
  const name = columnName(table, idColumn);
  const seen = new Map<string, number>();
  return column(table, name).map((value, row) => {
    const id = typeof value === "string" || typeof value === "number" ? String(value) : "";
    if (id.trim() === "") {
      throw new UserError("the id is missing, expected text or a number", {
        place: placeOf(table, row, name),
      });
    }
    const line = seen.get(id);
    if (line !== undefined) {
      throw new UserError(`id ${JSON.stringify(id)} is also on row ${line}`, {
        place: placeOf(table, row, name),
        hint: "Give every row its own id, or name no id column.",
      });
    }
    seen.set(id, table.rows[row].line);
    return id;
  });
}

function readTexts(table: Table, names: readonly string[]): string[] {
  const columns = names.map((name) => column(table, name));
  return table.rows.map((_, row) => {
    const parts = columns.map((values, j) => {
      const value = values[row];
      if (typeof value === "string") return value;
      throw new UserError(`the text is ${JSON.stringify(value) ?? "missing"}`, {
        place: placeOf(table, row, names[j]),
        hint: "Expected text between quotes.",
      });
    });
    const text = parts.join("\n");
    if (text.trim() !== "") return text;
    throw new UserError("the text is empty", {
      place: placeOf(table, row, names[0]),
      hint: "Remove the row, or fill in its text.",
    });
  });
}
