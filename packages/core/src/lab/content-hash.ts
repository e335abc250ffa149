import { createHash, type Hash } from "node:crypto";
import { Tensor } from "@outgrow/engine";

/**
 * The SHA-256, in hexadecimal, of a value: plain objects (whatever the order of their keys), arrays, typed arrays,
 * tensors, texts, numbers, booleans, null and undefined. Values of different types never have the same text under the
 * hash, nor do numbers that differ in a bit other than the payload of a NaN.
 *
 * @throws TypeError for anything else, such as functions and instances of classes
 */
export function contentHash(value: unknown): string {
  const hash = createHash("sha256");
  feed(hash, value, "");
  return hash.digest("hex");
}

function feed(hash: Hash, value: unknown, path: string): void {
  if (typeof value === "string") {
    // The length goes first, so that no text can look like what comes after it.
    hash.update(`s${Buffer.byteLength(value)}:`).update(value);
  } else if (typeof value === "number") hash.update(Object.is(value, -0) ? "n-0;" : `n${value};`);
  else if (typeof value === "boolean" || value === null || value === undefined) hash.update(`${value};`);
  else if (Array.isArray(value)) {
    hash.update(`a${value.length}:`);
    value.forEach((item, i) => {
      feed(hash, item, `${path}[${i}]`);
    });
  } else if (value instanceof Tensor) {
    hash.update(`t${value.dtype}[${value.shape}]`);
    feed(hash, value.data, path);
  } else if (ArrayBuffer.isView(value)) {
    const kind = Object.prototype.toString.call(value);
    hash.update(`b${kind}${value.byteLength}:`);
    hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  } else if (isPlain(value)) {
    // A field that is undefined is a field that is not there, as in JSON.
    const keys = Object.keys(value).filter((key) => value[key] !== undefined);
    hash.update(`o${keys.length}:`);
    for (const key of keys.sort()) {
      feed(hash, key, path);
      feed(hash, value[key], path === "" ? key : `${path}.${key}`);
    }
  } else {
    const what =
      typeof value === "object" ? `an instance of ${value.constructor?.name}` : `a ${typeof value}`;
    throw new TypeError(`${path === "" ? "the value" : path} is ${what}, which has no content hash.`);
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
