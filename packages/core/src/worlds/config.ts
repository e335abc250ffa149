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
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => {
          const fault = unknownField(key, fieldsAt(schema, issue.path));
          return issue.path.length === 0 ? fault : `${issue.path.join(".")}: ${fault}`;
        })
      : [issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`],
  );
  throw new UserError(`${what}: ${faults.join("; ")}`, { hint: `Fields: ${known.join(", ")}` });
}

/** Names of the fields of the object at a path in a schema; none where there is another kind of value. */
function fieldsAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  let at = schema as ZodNode | undefined;
  const unwrap = () => {
    while (at?.def?.innerType) at = at.def.innerType;
  };
  unwrap();
  for (const key of path) {
    at = typeof key === "number" ? at?.def?.element : at?.shape?.[String(key)];
    unwrap();
  }
  return Object.keys(at?.shape ?? {});
}

/** The parts of a zod schema that lead to what it holds. */
interface ZodNode {
  shape?: Record<string, ZodNode>;
  def?: { innerType?: ZodNode; element?: ZodNode };
}

function unknownField(key: string, known: string[]): string {
  const near = nearest(key, known);
  return `unknown field "${key}"${near === undefined ? "" : `, did you mean "${near}"?`}`;
}
