import { type Place, UserError } from "../errors.js";
import { namesHint } from "./nearest.js";
import { argmaxRows, type SoftLabels } from "./soft-labels.js";
import { column, placeOf, type Table } from "./table.js";

/** How far from 1 the probabilities of a row may sum before the row is refused. */
const sumTolerance = 1e-4;

/** A column of labels, one cell for each row of its table. */
export interface LabelColumn<Cell> {
  table: Table;
  name: string;
  cells: Cell[];
}

/** A class name, or probabilities by class name or in the order of the classes, not yet checked. */
export type WeakCell =
  | { kind: "hard"; label: string }
  | { kind: "byName"; probabilities: [label: string, probability: unknown][] }
  | { kind: "inOrder"; probabilities: unknown[] };

const kindNames: Record<WeakCell["kind"], string> = {
  hard: "a class name",
  byName: "an object of probabilities",
  inOrder: "a list of probabilities",
};

/**
 * A column of class names, without the white space around them; undefined where missing.
 * @throws UserError for a value that is not text, a number or a boolean, and when all are missing
 */
export function readHardLabels(table: Table, name: string): LabelColumn<string | undefined> {
  const cells = column(table, name).map((value, row) => {
    if (isMissing(value)) return undefined;
    if (typeof value === "object") {
      throw new UserError(`the label is ${quote(value)}, expected a class name`, {
        place: placeOf(table, row, name),
        hint: "Only weak labels can be probabilities.",
      });
    }
    return String(value).trim();
  });
  if (cells.every((label) => label === undefined)) {
    throw new UserError("the column has no labels", {
      place: placeOf(table, undefined, name),
      hint: "Leave the column out, or fill in labels of at least two classes.",
    });
  }
  return { table, name, cells };
}

/**
 * A column of weak labels, all of one kind. A soft label is a JSON object of probabilities by class name, or
 * a JSON list of them in the order of the classes; in CSV it is JSON as text.
 *
 * @throws UserError for a missing label, malformed JSON, and a label of another kind than the first
 */
export function readWeakLabels(table: Table, name: string): LabelColumn<WeakCell> {
  const cells = column(table, name).map((value, row) => parseWeakCell(value, placeOf(table, row, name)));
  cells.forEach(({ kind }, row) => {
    if (kind === cells[0].kind) return;
    throw new UserError(`the label is ${kindNames[kind]}, the first one is ${kindNames[cells[0].kind]}`, {
      place: placeOf(table, row, name),
      hint: "Give all weak labels in the same form.",
    });
  });
  return { table, name, cells };
}

function parseWeakCell(value: unknown, place: Place): WeakCell {
  if (isMissing(value)) {
    throw new UserError("the weak label is missing", {
      place,
      hint: "Every row needs one. Remove rows without.",
    });
  }
  const parsed = typeof value === "string" && /^\s*[[{]/.test(value) ? parseSoftLabel(value, place) : value;
  if (Array.isArray(parsed)) return { kind: "inOrder", probabilities: parsed };
  if (typeof parsed !== "object" || parsed === null) return { kind: "hard", label: String(value).trim() };
  return {
    kind: "byName",
    probabilities: Object.entries(parsed).map(([label, probability]) => [label.trim(), probability]),
  };
}

function parseSoftLabel(text: string, place: Place): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UserError(`malformed JSON in a soft label: ${(cause as Error).message}`, {
      place,
      hint: 'Expected e.g. {"yes": 0.8, "no": 0.2} or [0.8, 0.2].',
      cause,
    });
  }
}

/**
 * The class names in the label columns: by value if all are integers, else by code unit.
 * @throws UserError when weak labels are lists and the true labels do not give their order
 */
export function findClasses(
  truth: LabelColumn<string | undefined> | undefined,
  weak: LabelColumn<WeakCell> | undefined,
): string[] {
  const classes = new Set(truth?.cells.filter((label) => label !== undefined));
  for (const cell of weak?.cells ?? []) {
    if (cell.kind === "hard") classes.add(cell.label);
    if (cell.kind === "byName") for (const [label] of cell.probabilities) classes.add(label);
  }
  const areIntegers = [...classes].every((label) => /^[+-]?\d+$/.test(label));
  if (weak?.cells[0].kind === "inOrder" && (classes.size === 0 || !areIntegers)) {
    throw new UserError("the labels are lists, but the order of the classes is not known", {
      place: placeOf(weak.table, undefined, weak.name),
      hint: "List the classes in that order (--classes), or write the labels as objects by class name.",
    });
  }
  const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return [...classes].sort((a, b) => (areIntegers && Number(a) - Number(b)) || byName(a, b));
}

/**
 * `[n]`: the index of each label in `classes`, -1 where it is missing.
 * @throws UserError for a label that is no class, a class seen only once, and when all labels are the same
 */
export function indexLabels(
  { table, name, cells }: LabelColumn<string | undefined>,
  classes: readonly string[],
): Int32Array {
  const indices = Int32Array.from(cells, (label, row) =>
    label === undefined ? -1 : indexOfClass(label, classes, placeOf(table, row, name)),
  );
  refuseOneClass(
    indices.filter((index) => index >= 0),
    classes,
    placeOf(table, undefined, name),
  );
  classes.forEach((label, index) => {
    const row = indices.indexOf(index);
    if (row < 0 || indices.lastIndexOf(index) !== row) return;
    throw new UserError(`class ${quote(label)} is seen only once`, {
      place: placeOf(table, row, name),
      hint: "Check the spelling and whether the file has a header, add rows of this class, or remove the row.",
    });
  });
  return indices;
}

/**
 * Weak labels as probabilities: class names become 1 for their class, soft labels are divided by their sum.
 * @throws UserError for all that {@link indexLabels} refuses, and, naming id and row, for probabilities that
 *   are not numbers from 0 on or do not sum to 1 within 1e-4
 */
export function toSoftLabels(
  weak: LabelColumn<WeakCell>,
  classes: readonly string[],
  ids: readonly string[],
): SoftLabels {
  const { table, name, cells } = weak;
  const values = new Float32Array(cells.length * classes.length);
  const shape: SoftLabels["shape"] = [cells.length, classes.length];
  if (cells[0].kind === "hard") {
    const labels = cells.map((cell) => (cell.kind === "hard" ? cell.label : undefined));
    indexLabels({ table, name, cells: labels }, classes).forEach((index, row) => {
      values[row * classes.length + index] = 1;
    });
    return { values, shape };
  }
  cells.forEach((cell, row) => {
    const place = placeOf(table, row, name);
    const probabilities = inClassOrder(cell, classes, place).map((p) => {
      if (typeof p === "number" && Number.isFinite(p) && p >= 0) return p;
      throw new UserError(`the label of row id ${quote(ids[row])} has the value ${quote(p)}`, {
        place,
        hint: "Expected probabilities: numbers from 0 to 1.",
      });
    });
    const sum = probabilities.reduce((total, p) => total + p, 0);
    if (Math.abs(sum - 1) > sumTolerance) {
      throw new UserError(`the probabilities of row id ${quote(ids[row])} sum to ${sum}, expected 1`, {
        place,
        hint: "Divide the probabilities of each row by their sum.",
      });
    }
    values.set(
      probabilities.map((p) => p / sum),
      row * classes.length,
    );
  });
  refuseOneClass(argmaxRows(values, classes.length), classes, placeOf(table, undefined, name));
  return { values, shape };
}

/** `[classes]`: the values of a soft label. */
function inClassOrder(cell: WeakCell, classes: readonly string[], place: Place): unknown[] {
  if (cell.kind === "hard") throw new TypeError("a class name has no probabilities");
  const values = cell.probabilities;
  if (cell.kind === "byName") {
    const ordered: unknown[] = classes.map(() => 0);
    for (const [label, p] of cell.probabilities) ordered[indexOfClass(label, classes, place)] = p;
    return ordered;
  }
  if (values.length !== classes.length) {
    throw new UserError(`the label has ${values.length} probabilities, expected ${classes.length}`, {
      place,
      hint: `The classes are ${classes.map(quote).join(", ")}.`,
    });
  }
  return values;
}

function indexOfClass(label: string, classes: readonly string[], place: Place): number {
  const index = classes.indexOf(label);
  if (index >= 0) return index;
  throw new UserError(`${quote(label)} is not one of the classes`, {
    place,
    hint: namesHint(label, "classes", classes),
  });
}

function refuseOneClass(indices: Int32Array, classes: readonly string[], place: Place): void {
  if (indices.some((index) => index !== indices[0])) return;
  throw new UserError(`all labels are ${quote(classes[indices[0]])}, expected at least two classes`, {
    place,
    hint: "There is nothing to learn from labels of one class. Check that this is the right column.",
  });
}

/** Whether a cell of a table says nothing. */
export function isMissing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === "string" && value.trim() === "");
}

/** A value as short JSON; numbers as they print, since JSON has no Infinity. */
function quote(value: unknown): string {
  return (typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "")).slice(0, 80);
}
