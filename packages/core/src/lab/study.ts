import type { z } from "zod";
import { UserError } from "../errors.js";
import type { Groups } from "../measure/bootstrap.js";
import type { Claim, ClaimResult } from "../measure/claims.js";
import type { Figure } from "../report/index.js";
import type { Experiment, ExperimentContext, ResultRow } from "./experiment.js";

export const families = [
  "core",
  "theory and robustness",
  "oversight and weak labels",
  "reasoning and preference",
  "decoding, distillation, pretraining",
  "agents, graphs, multimodal",
  "vision and generation",
  "detection, 3-D, medical",
  "continual, few-shot, optimisation",
] as const;

/**
 * The experiment of a published system with the claims that it tests. Its rows are those of one seed; `outgrow reproduce`
 * runs it for several and judges the claims on all rows.
 */
export interface Study<Schema extends z.ZodObject = z.ZodObject, Row extends ResultRow = ResultRow>
  extends Experiment<Schema> {
  paper: { title: string; authors: string; year: number; url: string; code?: string };
  family: (typeof families)[number];
  /** What the paper says, in one sentence. */
  summary: string;
  /** Seeds by default. Settings were chosen on others. */
  seeds: number;
  /** Columns whose values name what the bootstrap draws first, beside the seed, e.g. `["world"]`. */
  groups: readonly (keyof Row & string)[];
  /** Columns that tell the items of a group apart, e.g. `["task"]`: what pairs are matched by. */
  items: readonly (keyof Row & string)[];
  claims: readonly Claim<StudyResults<Row>>[];
  /** Settings in which the effect must vanish, as claims that it does. A study without one cannot refute anything. */
  controls: readonly Claim<StudyResults<Row>>[];
  /** Names of what can run by itself: values of the configuration's field `parts`, which claims name in `needs`. */
  parts?: readonly string[];
  /** A size for tests of the whole, in seconds. */
  quick: z.input<Schema>;
  run(config: z.output<Schema>, context: ExperimentContext): Promise<Row[]>;
  /** Pictures of the claims, the most important first. */
  figures(results: StudyResults<Row>, claims: readonly ClaimResult[]): Promise<Figure[]>;
  /** What to keep in mind: what differs from the paper, what the world is. */
  notes: readonly string[];
}

type Condition<Row> = { readonly [Name in keyof Row]?: Row[Name] };
type Measure<Row> = (keyof Row & string) | ((row: Row) => number | null);

/** The rows of all seeds, and the samples that claims are made of. */
export class StudyResults<Row extends ResultRow = ResultRow> {
  private readonly groupColumns: readonly string[];
  private readonly itemColumns: readonly string[];

  constructor(
    /** With the column `seed`. */
    readonly rows: readonly (Row & { seed: number })[],
    study: { groups: readonly string[]; items: readonly string[] },
  ) {
    this.groupColumns = ["seed", ...study.groups];
    this.itemColumns = study.items;
  }

  /** The values of a column, or of a function, in the rows that meet a condition. */
  values(condition: Condition<Row>, measure: Measure<Row>): Groups {
    return this.grouped(this.matching(condition), measureOf(measure));
  }

  /** `left` minus `right` for each item, e.g. of two methods. null where either is. */
  differences(left: Condition<Row>, right: Condition<Row>, measure: Measure<Row>): Groups {
    const value = measureOf(measure);
    return this.pairs(left, right, (a, b) => {
      const [x, y] = [value(a), value(b)];
      return x === null || y === null ? null : x - y;
    });
  }

  /** A value for each pair of rows of the same item that meet the two conditions. */
  pairs(
    left: Condition<Row>,
    right: Condition<Row>,
    value: (left: Row, right: Row) => number | null,
  ): Groups {
    const others = new Map(this.matching(right).map((row) => [this.itemOf(row), row]));
    const rows = this.matching(left);
    if (others.size !== rows.length) {
      throw new Error(
        `${rows.length} rows with ${JSON.stringify(left)}, but ${others.size} with ${JSON.stringify(right)}.`,
      );
    }
    return this.grouped(rows, (row) => {
      const other = others.get(this.itemOf(row));
      if (!other) throw new Error(`No row with ${JSON.stringify(right)} for ${this.itemOf(row)}.`);
      return value(row, other);
    });
  }

  /** A value for each group of rows that meet a condition: for statistics that no single row has. */
  perGroup(condition: Condition<Row>, value: (rows: Row[]) => number | null): Groups {
    return [...this.byGroup(this.matching(condition)).values()].map((rows) => [value(rows)]);
  }

  private matching(condition: Condition<Row>): Row[] {
    const wanted = Object.entries(condition);
    const found = this.rows.filter((row) => wanted.every(([name, value]) => row[name] === value));
    if (found.length === 0) throw new MissingRows(condition);
    return found;
  }

  private byGroup(rows: readonly Row[]): Map<string, Row[]> {
    const groups = new Map<string, Row[]>();
    for (const row of rows) {
      const key = JSON.stringify(this.groupColumns.map((name) => row[name]));
      groups.set(key, [...(groups.get(key) ?? []), row]);
    }
    return groups;
  }

  private grouped(rows: readonly Row[], value: (row: Row) => number | null): Groups {
    return [...this.byGroup(rows).values()].map((items) => items.map(value));
  }

  private itemOf(row: Row): string {
    return JSON.stringify([...this.groupColumns, ...this.itemColumns].map((name) => row[name] ?? null));
  }
}

function measureOf<Row extends ResultRow>(measure: Measure<Row>): (row: Row) => number | null {
  if (typeof measure === "function") return measure;
  return (row) => {
    const value = row[measure];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
}

/** A claim asks for rows that the configuration did not make. */
export class MissingRows extends UserError {
  constructor(condition: object) {
    super(`no row of the results has ${JSON.stringify(condition)}`, {
      hint: "The configuration leaves out what the claim is about: set fewer fields, or ask for other claims.",
    });
  }
}
