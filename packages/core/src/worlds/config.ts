import type { z } from "zod";
import { nearest } from "../data/nearest.js";
import { UserError } from "../errors.js";

/**
 * Reads a configuration: absent fields get the schema's defaults. Refuses (UserError) wrong values, and
 * unknown fields with the name of the nearest known one.
 * `what` names the configuration in the message, e.g. "world latent-features".
 */
export function parseConfig<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  given: unknown,
  what: string,
): z.output<z.ZodObject<Shape>> {
  const result = schema.strict().safeParse(given ?? {});
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  const known = Object.keys(schema.shape);
  const faults = result.error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" && issue.path.length === 0
      ? issue.keys.map((key) => unknownField(key, known))
      : [issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`],
  );
  throw new UserError(`${what}: ${faults.join("; ")}`, { hint: `Fields: ${known.join(", ")}` });
}

function unknownField(key: string, known: string[]): string {
  const near = nearest(key, known);
  return `unknown field "${key}"${near === undefined ? "" : `, did you mean "${near}"?`}`;
}
