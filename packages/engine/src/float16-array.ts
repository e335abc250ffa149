import { halfBits, halfValues } from "./float16.js";

const made = new WeakSet<object>();

/** Elements are read and written as numbers; all else is that of the array of their bits. */
export function Float16ArrayStandIn(
  source: ArrayBuffer | ArrayLike<number> | number,
  offset?: number,
  length?: number,
) {
  const isBuffer = source instanceof ArrayBuffer;
  const bits = isBuffer
    ? new Uint16Array(source, offset, length)
    : halfBits(typeof source === "number" ? new Array(source).fill(0) : source);
  const half = new Proxy(bits, {
    get(target, key) {
      if (typeof key === "string" && /^\d+$/.test(key)) return halfValues([target[Number(key)]])[0];
      if (key === "fill") return (value: number) => target.fill(halfBits([value])[0]);
      const member: unknown = Reflect.get(target, key, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
    set: (target, key, value: number) => Reflect.set(target, key, halfBits([value])[0], target),
  });
  made.add(half);
  return half;
}
Object.defineProperty(Float16ArrayStandIn, Symbol.hasInstance, { value: (array: object) => made.has(array) });

/**
 * Runs `body` with what jax-js needs of `Float16Array`, which Node has from version 24 on. Without one jax-js makes
 * no constant of float64 either, since it looks whether that is a `Float16Array`.
 */
export function withFloat16Array<Result>(body: () => Result): Result {
  if ("Float16Array" in globalThis) return body();
  const scope = globalThis as { Float16Array?: unknown };
  scope.Float16Array = Float16ArrayStandIn;
  try {
    return body();
  } finally {
    delete scope.Float16Array;
  }
}
