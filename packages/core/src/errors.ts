/** Where in a user's file something is wrong. Rows and columns count as the user's editor and header do. */
export interface Place {
  /** Path as the user gave it. */
  file?: string;
  /** Line of the file on which the record starts, counted from 1. */
  row?: number;
  /** Column name, or its number counted from 1 in a file without a header. */
  column?: string | number;
}

/**
 * A mistake in what the user gave (exit code 2) or a failure of what was tried (exit code 1).
 * It is shown without a stack trace: the message says what was given and what was expected, the hint what to do.
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly place: Place;
  readonly hint: string | undefined;
  readonly exitCode: 1 | 2;

  constructor(
    message: string,
    options: { place?: Place; hint?: string; exitCode?: 1 | 2; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.place = options.place ?? {};
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 2;
  }

  /** The whole text for a terminal, e.g. `reviews.csv, row 3, column "gold": expected …`. */
  override toString(): string {
    const { file, row, column } = this.place;
    const where = [
      file,
      row === undefined ? undefined : `row ${row}`,
      column === undefined
        ? undefined
        : `column ${typeof column === "number" ? column : JSON.stringify(column)}`,
    ].filter((part) => part !== undefined);
    const place = where.length > 0 ? `${where.join(", ")}: ` : "";
    return `${place}${this.message}${this.hint ? `\n  ${this.hint}` : ""}`;
  }
}
