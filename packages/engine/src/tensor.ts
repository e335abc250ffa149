import { tree } from "@jax-js/jax";
import { halfValues } from "./float16.js";

/** Element types that the engine carries in and out of a program: those of jax-js. */
export type DType = "float32" | "float64" | "float16" | "int32" | "uint32" | "bool";

/**
 * The typed array that holds each element type. Booleans are bytes, 0 or 1. A float16 tensor holds the bits of its
 * numbers, since `Float16Array` is missing from Node before version 24: see `halfBits` and `halfValues`.
 */
export type TensorData = Float32Array | Float64Array | Uint16Array | Int32Array | Uint32Array | Uint8Array;

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const;

function dtypeOf(data: TensorData): DType {
  const found = (Object.keys(arrays) as DType[]).find((dtype) => data instanceof arrays[dtype]);
  if (found) return found;
  const given = (data as object)?.constructor?.name ?? typeof data;
  const held = Object.entries(arrays).map(([dtype, array]) => `${array.name} (${dtype})`);
  throw new TypeError(`The data of a tensor must be one of ${held.join(", ")}; given: ${given}.`);
}

/** A dense array in row-major order, outside any program. Plain data: nothing to free. */
export class Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;

  /** The class of `data` gives the element type. Throws where its length is not the product of the shape. */
  constructor(data: TensorData, shape: readonly number[] = [data.length]) {
    const size = shape.reduce((product, length) => product * length, 1);
    if (size !== data.length) {
      throw new RangeError(
        `A tensor of shape [${shape}] has ${size} elements, but ${data.length} were given.`,
      );
    }
    this.data = data;
    this.shape = [...shape];
    this.dtype = dtypeOf(data);
  }

  /** The value of a tensor with a single element. */
  item(): number {
    if (this.data.length !== 1) {
      throw new RangeError(`item() needs a tensor with one element; this one has shape [${this.shape}].`);
    }
    return this.dtype === "float16" ? halfValues(this.data)[0] : this.data[0];
  }
}

/** A float32 scalar. */
export function scalar(value: number): Tensor {
  return new Tensor(Float32Array.of(value), []);
}

/** Zeros of the given shape. */
export function zeros(shape: readonly number[], dtype: DType = "float32"): Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(new arrays[dtype](size), shape);
}

/** Nested plain objects and arrays with leaves of one type, as JAX's pytrees. */
export type Tree<Leaf> = Leaf | readonly Tree<Leaf>[] | { readonly [key: string]: Tree<Leaf> };

/** The same tree with other leaves: `MapTree<{ w: Tensor }, Tensor, Array>` is `{ w: Array }`. */
export type MapTree<T, From, To> = T extends From
  ? To
  : T extends readonly unknown[]
    ? { [K in keyof T]: MapTree<T[K], From, To> }
    : T extends object
      ? { [K in keyof T]: MapTree<T[K], From, To> }
      : T;

/** The leaves of a tree in order, and a function that puts new leaves in their places. */
export function flattenTree<Leaf>(value: unknown): [Leaf[], (leaves: unknown[]) => unknown] {
  const [leaves, structure] = tree.flatten(value as never);
  return [leaves as Leaf[], (newLeaves) => tree.unflatten(structure, newLeaves as never[])];
}

/** The leaves of a tree with their paths, e.g. `["layers.0.w", tensor]`. */
export function namedLeaves<Leaf>(
  value: Tree<Leaf>,
  isLeaf: (node: unknown) => node is Leaf,
): [string, Leaf][] {
  const found: [string, Leaf][] = [];
  const visit = (node: unknown, path: string[]) => {
    if (isLeaf(node)) found.push([path.join("."), node]);
    else for (const [key, child] of Object.entries(node as object)) visit(child, [...path, key]);
  };
  visit(value, []);
  return found;
}

/** Whether a node of a tree has children; all else is a leaf. */
export const isBranch = (node: unknown): node is object =>
  Array.isArray(node) || (typeof node === "object" && node !== null && node.constructor === Object);

/**
 * The leaves of `value` in the order in which they stand in `like`, so that the keys of an object may come in any
 * order. Throws what `refuse` makes of the path of the first child that only one of the trees has.
 */
export function leavesInOrderOf(
  like: unknown,
  value: unknown,
  refuse: (path: string, problem: "missing" | "unexpected") => Error,
  path: readonly string[] = [],
): unknown[] {
  if (!isBranch(like)) return [value];
  const given = isBranch(value) ? Object.entries(value) : [];
  const extra = given.find(([key]) => !Object.hasOwn(like, key));
  const children = new Map(given);
  return Object.entries(like).flatMap(([key, child]) => {
    const at = [...path, key];
    if (!children.has(key)) throw refuse(at.join("."), "missing");
    if (extra) throw refuse([...path, extra[0]].join("."), "unexpected");
    return leavesInOrderOf(child, children.get(key), refuse, at);
  });
}
