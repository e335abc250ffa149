import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { contentKey } from "./file-cache.js";
import type { Atom, Jaxpr, Traced, Variable } from "./trace.js";

/**
 * A hash of all that the lowering of a traced program depends on: its equations with their types and parameters, its
 * constants, the code that lowers it, and `more`. Undefined where a parameter is nothing that a text could stand for.
 */
export function programKey({ jaxpr, constants }: Traced, more: unknown): string | undefined {
  try {
    const data = constants.map(
      ({ data: { buffer, byteOffset, byteLength } }) => new Uint8Array(buffer, byteOffset, byteLength),
    );
    return contentKey(loweringCode(), parameter(more), textOf(jaxpr), ...data);
  } catch (error) {
    if (error instanceof NoText) return undefined;
    throw error;
  }
}

class NoText extends Error {}

/** The program as a text in which no two programs are alike. */
function textOf({ inBinders, eqns, outs }: Jaxpr): string {
  const numbers = new Map<Atom, number>();
  const typeOf = ({ aval: { dtype, shape, weakType } }: Atom) => `${dtype}[${shape}]${weakType ? "w" : ""}`;
  const defined = (variable: Variable) => {
    numbers.set(variable, numbers.size);
    return `${numbers.get(variable)}:${typeOf(variable)}`;
  };
  const used = (atom: Atom) =>
    "value" in atom ? `=${parameter(atom.value)}:${typeOf(atom)}` : `${numbers.get(atom)}`;
  return [
    inBinders.map(defined).join(" "),
    ...eqns.map(({ primitive, inputs, params, outBinders }) => {
      const operands = inputs.map(used).join(" ");
      return `${outBinders.map(defined).join(" ")} = ${primitive} ${operands} ${parameter(params)}`;
    }),
    outs.map(used).join(" "),
  ].join("\n");
}

function parameter(value: unknown): string {
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "boolean" || typeof value === "bigint" || value === null || value === undefined) {
    return `${typeof value} ${value}`;
  }
  if (Array.isArray(value)) return `[${value.map(parameter).join()}]`;
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    const entries = Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}:${parameter(entry)}`);
    return `{${entries.sort().join()}}`;
  }
  throw new NoText();
}

let code: string | undefined;

/** Hash of this package's modules: while the lowering is being worked on, its version says nothing. */
function loweringCode(): string {
  code ??= contentKey(...modulesIn(dirname(fileURLToPath(import.meta.url))));
  return code;
}

function modulesIn(folder: string): Uint8Array[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return names
    .filter((name) => /(?<!\.d|\.test)\.(js|ts)$/.test(name))
    .map((name) => readFileSync(join(folder, name)));
}
