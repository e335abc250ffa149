import { readFile, stat } from "node:fs/promises";
import { UserError } from "../../errors.js";

/** Larger whole numbers are no size of a model that a machine could hold. */
const most = 2 ** 31 - 1;

/** The fields of a configuration from outside, each checked when it is read. Null is as good as absent. */
export class Fields {
  constructor(
    private readonly json: Readonly<Record<string, unknown>>,
    /** For errors. */
    readonly file: string,
    /** Where the fields stand in the file, e.g. `rope_scaling.`. */
    private readonly path = "",
  ) {}

  /** Whether the field is there and null. */
  isNull(name: string): boolean {
    return Object.hasOwn(this.json, name) && this.json[name] === null;
  }

  value(name: string): unknown {
    return Object.hasOwn(this.json, name) ? (this.json[name] ?? undefined) : undefined;
  }

  /** A whole number from `least` on. */
  count(name: string, fallback?: number, least = 1): number {
    const isCount = (value: unknown) =>
      Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
    return this.checked(name, fallback, isCount, `a whole number from ${least} on`);
  }

  /** A number above 0. */
  positive(name: string, fallback?: number): number {
    const isPositive = (value: unknown) => Number.isFinite(value) && (value as number) > 0;
    return this.checked(name, fallback, isPositive, "a number above 0");
  }

  flag(name: string, fallback: boolean): boolean {
    return this.checked(name, fallback, (value) => typeof value === "boolean", "true or false");
  }

  text(name: string, fallback?: string): string {
    return this.checked(name, fallback, (value) => typeof value === "string", "a text");
  }

  /** The fields of an object inside; undefined where there is none. */
  inside(name: string): Fields | undefined {
    const value = this.value(name);
    if (value === undefined) return undefined;
    if (!isObject(value)) this.refuse(`${this.path}${name} is ${show(value)}, expected an object`);
    return new Fields(value, this.file, `${this.path}${name}.`);
  }

  refuse(message: string, hint?: string): never {
    throw new UserError(message, { place: { file: this.file }, hint });
  }

  private checked<T>(
    name: string,
    fallback: T | undefined,
    fits: (value: unknown) => boolean,
    expected: string,
  ): T {
    const value = this.value(name) ?? fallback;
    if (!fits(value)) {
      this.refuse(
        `${this.path}${name} is ${value === undefined ? "missing" : show(value)}, expected ${expected}`,
      );
    }
    return value as T;
  }
}

/**
 * An object from a JSON file.
 *
 * @throws UserError where the file is larger than `maxBytes`, cannot be read or holds something else
 */
export async function readJsonObject(path: string, maxBytes = 2 ** 24): Promise<Record<string, unknown>> {
  const value: unknown = await readJson(path, maxBytes);
  if (isObject(value)) return value;
  throw new UserError(`holds ${show(value)}, expected an object in JSON`, { place: { file: path } });
}

async function readJson(path: string, maxBytes: number): Promise<unknown> {
  const text = await readText(path, maxBytes);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UserError("is not valid JSON", {
      place: { file: path },
      hint: "The file is damaged. Fetch or write it again.",
      cause,
    });
  }
}

/** @throws UserError where the file is larger than `maxBytes` or cannot be read */
async function readText(path: string, maxBytes: number): Promise<string> {
  let bytes: Buffer;
  try {
    const { size } = await stat(path);
    if (size > maxBytes) {
      throw new UserError(`has ${size} bytes, expected at most ${maxBytes}`, { place: { file: path } });
    }
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = code === "ENOENT" || code === "ENOTDIR";
    throw new UserError(missing ? "there is no such file" : `could not be read: ${message}`, {
      place: { file: path },
      hint: missing ? "Check the path: a folder in Hugging Face's layout was expected." : undefined,
      exitCode: missing ? 2 : 1,
      cause: error,
    });
  }
  return bytes.toString("utf8");
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const show = (value: unknown) => (JSON.stringify(value) ?? String(value)).slice(0, 100);
