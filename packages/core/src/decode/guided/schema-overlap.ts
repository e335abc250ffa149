/**
 * Whether two of the schemas may hold for the same value, as far as can be told from their types, their constants and, for
 * objects, a required property whose constants differ. In doubt they may.
 */
export function mayOverlap(schemas: readonly unknown[], resolve: (reference: unknown) => unknown): boolean {
  const plain = schemas.map((schema) => {
    let target = schema;
    for (let steps = 0; steps < 100 && isObject(target) && "$ref" in target; steps++)
      target = resolve(target.$ref);
    return target;
  });
  return plain.some((one, i) => plain.slice(i + 1).some((other) => !disjoint(one, other)));
}

function disjoint(one: unknown, other: unknown): boolean {
  if (one === false || other === false) return true;
  if (!isObject(one) || !isObject(other)) return false;
  const [typesOfOne, typesOfOther] = [typesOf(one), typesOf(other)];
  if (
    typesOfOne !== undefined &&
    typesOfOther !== undefined &&
    !typesOfOne.some((type) => typesOfOther.includes(type))
  ) {
    return true;
  }
  const [valuesOfOne, valuesOfOther] = [constantsOf(one), constantsOf(other)];
  if (valuesOfOne !== undefined && valuesOfOther !== undefined) {
    return !valuesOfOne.some((value) => valuesOfOther.includes(value));
  }
  // A tagged union: both must have the property, and no value of it fits both.
  if (typesOfOne?.join() !== "object" || typesOfOther?.join() !== "object") return false;
  const [ofOne, ofOther] = [required(one), required(other)];
  return Array.from(ofOne).some(([name, value]) => ofOther.has(name) && disjoint(value, ofOther.get(name)));
}

/** The types of the values; a whole number is both an integer and a number. */
function typesOf(schema: Readonly<Record<string, unknown>>): string[] | undefined {
  const constants = schema.const !== undefined ? [schema.const] : schema.enum;
  if (Array.isArray(constants)) return constants.flatMap(typesOfValue);
  if (schema.type === undefined) return undefined;
  const types: unknown[] = Array.isArray(schema.type) ? schema.type : [schema.type];
  return types.flatMap((type) => (type === "number" ? ["number", "integer"] : [String(type)]));
}

function typesOfValue(value: unknown): string[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return Number.isInteger(value) ? ["integer"] : ["number"];
  return [typeof value];
}

/** The values of an enumeration, written so that equal ones are equal; undefined where there are others or objects. */
function constantsOf(schema: Readonly<Record<string, unknown>>): string[] | undefined {
  const constants: unknown = "const" in schema ? [schema.const] : schema.enum;
  if (!Array.isArray(constants) || constants.some((value) => typeof value === "object" && value !== null)) {
    return undefined;
  }
  return constants.map((value) => JSON.stringify(value));
}

/** The schemas of the properties that every value has. */
function required(schema: Readonly<Record<string, unknown>>): Map<string, unknown> {
  const { properties, required } = schema;
  const found = new Map<string, unknown>();
  if (!isObject(properties) || !Array.isArray(required)) return found;
  for (const name of required) if (Object.hasOwn(properties, name)) found.set(name, properties[name]);
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
