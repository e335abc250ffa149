import * as jax from "@jax-js/jax";
import { withCorrections } from "./corrections.js";
import { withFloat16Array } from "./float16-array.js";
import { flattenTree, Tensor } from "./tensor.js";
import { freeingNewArrays } from "./traced-arrays.js";

/**
 * The parts of jax-js's traced programs that lowering reads. jax-js exports the classes but not these members' types;
 * its version is pinned.
 */
export interface Aval {
  readonly shape: number[];
  readonly dtype: string;
  readonly weakType: boolean;
}
export interface Variable {
  readonly id: number;
  readonly aval: Aval;
}
export interface Literal {
  readonly value: number;
  readonly aval: Aval;
}
export type Atom = Variable | Literal;
export interface Equation {
  readonly primitive: string;
  readonly inputs: readonly Atom[];
  readonly params: Readonly<Record<string, unknown>>;
  readonly outBinders: readonly Variable[];
}
export interface Jaxpr {
  readonly inBinders: readonly Variable[];
  readonly eqns: readonly Equation[];
  readonly outs: readonly Atom[];
}

export interface Constant {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

export interface Traced {
  /** Inputs: the constants, then the leaves of the arguments. */
  readonly jaxpr: Jaxpr;
  readonly constants: readonly Constant[];
  readonly inputs: readonly { dtype: string; shape: readonly number[] }[];
  /** Rebuilds the function's result from its leaves. */
  readonly unflattenOutput: (leaves: unknown[]) => unknown;
}

/** What jax-js needs to know of an argument. A class, so that it counts as a leaf. */
class ArgumentType {
  readonly shape: number[];
  readonly dtype: string;
  readonly weakType = false;

  constructor(tensor: Tensor) {
    this.shape = [...tensor.shape];
    this.dtype = tensor.dtype;
  }
}

/**
 * Traces `fn` with jax-js and returns the flat program. Only shapes and types of the example arguments matter.
 *
 * jax-js counts references: an operation consumes its arguments unless `.ref` is taken. While a function is traced
 * nothing is computed and nothing needs freeing, so counting is switched off: `fn` may use each array as often as it
 * likes, `.ref` and `dispose` do nothing, and constants that it captures stay the caller's.
 */
export async function trace(
  fn: (...args: never[]) => unknown,
  exampleArgs: readonly unknown[],
): Promise<Traced> {
  const types = exampleArgs.map((argument) => {
    const [leaves, unflatten] = flattenTree<unknown>(argument);
    return unflatten(
      leaves.map((leaf) => {
        if (leaf instanceof Tensor) return new ArgumentType(leaf);
        throw new TypeError(`Example arguments must be trees of Tensors; found ${describe(leaf)}.`);
      }),
    );
  });
  const makeJaxpr = jax.makeJaxpr as unknown as (f: unknown) => (...args: unknown[]) => {
    jaxpr: { jaxpr: Jaxpr & { flatten(): { simplify(): Jaxpr } }; consts: jax.Array[] };
    treedef: jax.JsTreeDef;
  };
  const [{ jaxpr: closed, treedef }, sharing] = withFloat16Array(() =>
    withCorrections(() => freeingNewArrays(() => withoutReferenceCounts(() => makeJaxpr(fn)(...types)))),
  );
  const constants = await Promise.all(
    closed.consts.map(async (array) => ({
      dtype: array.dtype as string,
      shape: array.shape,
      // Float16 as float32: Node has no array for it before version 24.
      data: await (array.dtype === "float16"
        ? sharing(array).astype(jax.DType.Float32)
        : sharing(array)
      ).data(),
    })),
  );
  const jaxpr = closed.jaxpr.flatten().simplify();
  return {
    jaxpr,
    constants,
    inputs: jaxpr.inBinders
      .slice(constants.length)
      .map(({ aval }) => ({ dtype: aval.dtype, shape: aval.shape })),
    unflattenOutput: (leaves) => jax.tree.unflatten(treedef, leaves as never[]),
  };
}

/** What was given in place of a tensor, for messages. */
export function describe(leaf: unknown): string {
  if (leaf === null || leaf === undefined) return String(leaf);
  return typeof leaf === "object"
    ? `a value of class ${leaf.constructor?.name}`
    : `the ${typeof leaf} ${String(leaf)}`;
}

interface Counted {
  ref: unknown;
  dispose(): void;
}

/**
 * The classes whose instances count references. jax-js exports only Array; the tracers' classes are met by looking at
 * what a function under each transformation is given.
 */
function countedPrototypes(): Counted[] {
  const prototypes = new Set<Counted>([jax.Array.prototype as unknown as Counted]);
  const meet = (value: unknown) => {
    const prototype = Object.getPrototypeOf(value) as Counted;
    prototypes.add(prototype);
  };
  const probe = (x: jax.Array) => {
    // Under vjp: a JVP tracer around a partial-evaluation tracer.
    const inner = x as unknown as { primal?: unknown; tangent?: unknown };
    meet(x);
    if (inner.primal) meet(inner.primal);
    if (inner.tangent) meet(inner.tangent);
    return x.ref.mul(x);
  };
  const one = () => jax.numpy.ones([2]);
  jax.makeJaxpr(probe)(one());
  const [value, pullback] = jax.vjp(probe, [one()]);
  value.dispose();
  pullback.dispose();
  jax
    .vmap((x: jax.Array) => probe(x))(one())
    .dispose();
  return [...prototypes];
}

let counted: Counted[] | undefined;

/**
 * Traces inside `body` may use each array as often as they like. `compile` does this by itself; with it, the same
 * functions also run on jax-js's own jit: `jax.jit((...args) => withoutReferenceCounts(() => fn(...args)))`.
 */
export function withoutReferenceCounts<Result>(body: () => Result): Result {
  counted ??= countedPrototypes();
  // Where jax-js reads a literal's value it makes and frees a copy of it: that is counted as ever.
  let counting = false;
  const { dataSync } = jax.Array.prototype;
  const saved = counted.map((prototype) => ({
    prototype,
    ref: Object.getOwnPropertyDescriptor(prototype, "ref") as PropertyDescriptor,
    dispose: Object.getOwnPropertyDescriptor(prototype, "dispose") as PropertyDescriptor,
  }));
  for (const { prototype, ref, dispose } of saved) {
    Object.defineProperty(prototype, "ref", {
      configurable: true,
      get(this: unknown) {
        return counting ? ref.get?.call(this) : this;
      },
    });
    Object.defineProperty(prototype, "dispose", {
      configurable: true,
      writable: true,
      value(this: unknown) {
        if (counting) dispose.value.call(this);
      },
    });
  }
  jax.Array.prototype.dataSync = function () {
    if (counting) return dataSync.call(this);
    counting = true;
    try {
      return dataSync.call(this.ref);
    } finally {
      counting = false;
    }
  };
  try {
    return body();
  } finally {
    jax.Array.prototype.dataSync = dataSync;
    for (const { prototype, ref, dispose } of saved) {
      Object.defineProperty(prototype, "ref", ref);
      Object.defineProperty(prototype, "dispose", dispose);
    }
  }
}
