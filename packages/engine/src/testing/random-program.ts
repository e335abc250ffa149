import * as jax from "@jax-js/jax";
import fc from "fast-check";
import type { DType } from "../tensor.js";

const { numpy: np, nn, lax } = jax;

/** What an operation may know of the arrays before it. */
interface Slot {
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** One line of a program. It reads earlier arrays by `v(number)`, which takes a reference each time. */
export interface Line {
  readonly text: string;
  readonly run: (v: (slot: number) => jax.Array) => jax.Array | jax.Array[];
}

/** An argument of a program, or a constant that it captures. */
export interface Source extends Slot {
  readonly dtype: DType;
  readonly data: Float32Array | Int32Array;
}

/** The numbers that the details of an operation are drawn from, so that a shorter list is a simpler operation. */
class Draws {
  private next = 0;

  constructor(private readonly numbers: readonly number[]) {}

  below(limit: number): number {
    return (this.numbers[this.next++] ?? 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  permutation(count: number): number[] {
    const left = Array.from({ length: count }, (_, i) => i);
    return Array.from({ length: count }, () => left.splice(this.below(left.length), 1)[0]);
  }

  subset(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i).filter(() => this.below(2) === 1);
  }
}

type Maker = (slots: readonly Slot[], draws: Draws) => Line | null;

const size = (shape: readonly number[]) => shape.reduce((total, length) => total * length, 1);

const js = (value: unknown): string => JSON.stringify(value);

/** The numbers of slots of some element types and at least some rank; the newest first. */
function slotsOf(slots: readonly Slot[], dtypes: readonly string[], rank = 0): number[] {
  return slots
    .map((_, i) => i)
    .filter((i) => dtypes.includes(slots[i].dtype) && slots[i].shape.length >= rank)
    .reverse();
}

function choose(slots: readonly Slot[], draws: Draws, dtypes: readonly string[], rank = 0): number | null {
  const found = slotsOf(slots, dtypes, rank);
  return found.length > 0 ? draws.pick(found) : null;
}

const any = ["float32", "int32", "bool"];
const float = ["float32"];
const number = ["float32", "int32"];

/** An operation on one array. */
const unary =
  (
    dtypes: readonly string[],
    rank: number,
    make: (slot: Slot, draws: Draws) => [string, (x: jax.Array) => jax.Array | jax.Array[]] | null,
  ): Maker =>
  (slots, draws) => {
    const at = choose(slots, draws, dtypes, rank);
    const made = at === null ? null : make(slots[at], draws);
    if (at === null || made === null) return null;
    const [text, run] = made;
    return { text: text.replaceAll("$", `v${at}`), run: (v) => run(v(at)) };
  };

/** A function of floats that is smooth, or nearly everywhere so, and tame. */
const pointwise: Record<string, (x: jax.Array) => jax.Array> = {
  neg: (x) => x.neg(),
  square: (x) => x.ref.mul(x),
  "half it": (x) => x.mul(0.5),
  "minus a third": (x) => x.mul(-1 / 3),
  "plus 1.5": (x) => x.add(1.5),
  "1.5 -": (x) => np.array(1.5).sub(x),
  "zero times": (x) => x.mul(0),
  "/ 3": (x) => x.div(3),
  "reciprocal of 1/2 + square": (x) => np.reciprocal(x.ref.mul(x).add(0.5)),
  "reciprocal of -2 |x| - 1": (x) => np.reciprocal(np.abs(x).mul(-2).sub(1)),
  "exp of minus |x|": (x) => np.exp(np.abs(x).neg()),
  // Near 1 the logarithm of jax-js on Wasm is off by 1e-5.
  "log of 2 + |x|": (x) => np.log(np.abs(x).add(2)),
  "sqrt of 1/2 + |x|": (x) => np.sqrt(np.abs(x).add(0.5)),
  sin: np.sin,
  cos: np.cos,
  atan: np.atan,
  tanh: np.tanh,
  "asin of 0.9 tanh": (x) => np.asin(np.tanh(x).mul(0.9)),
  erf: lax.erf,
  erfc: lax.erfc,
  floor: np.floor,
  ceil: np.ceil,
  trunc: np.trunc,
  abs: np.abs,
  sign: np.sign,
  stopGradient: lax.stopGradient,
  gelu: (x) => nn.gelu(x, { approximate: true }),
  "exact gelu": (x) => nn.gelu(x, { approximate: false }),
  silu: nn.silu,
  relu: nn.relu,
  sigmoid: nn.sigmoid,
  softplus: nn.softplus,
  "jit(sin(x) * x)": jax.jit((x: jax.Array) => np.sin(x.ref).mul(x)),
  "grad(sum(sin(x) * x))": jax.grad((x: jax.Array) => np.sin(x.ref).mul(x).sum()),
};

const binaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  add: (x, y) => x.add(y),
  sub: (x, y) => x.sub(y),
  mul: (x, y) => x.mul(y),
  minimum: np.minimum,
  maximum: np.maximum,
};

const floatBinaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  ...binaries,
  "x / (1/2 + y y)": (x, y) => x.div(y.ref.mul(y).add(0.5)),
  "x / (-1 - |y|)": (x, y) => x.div(np.abs(y).neg().sub(1)),
  "x * 3 / (5 + 5 y y)": (x, y) => x.mul(3).div(y.ref.mul(y).mul(5).add(5)),
  // Written so that x is no constant: jax-js rounds the quotient of a constant to 0.
  "(x + 0 y) mod (1 + |y|)": (x, y) => x.add(y.ref.mul(0)).mod(np.abs(y).add(1)),
  "2 x - 3 y": (x, y) => x.mul(2).sub(y.mul(3)),
  "-x - y / 4": (x, y) => x.neg().sub(y.mul(0.25)),
};

const intBinaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  ...binaries,
  "x div (1 + |y|)": (x, y) => x.div(np.abs(y).add(1)),
  "x mod (1 + |y|)": (x, y) => x.mod(np.abs(y).add(1)),
};

const boolBinaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  and: np.logicalAnd,
  or: np.logicalOr,
  xor: np.logicalXor,
  minimum: np.minimum,
  maximum: np.maximum,
  add: (x, y) => x.add(y),
  mul: (x, y) => x.mul(y),
};

const comparisons = { less: np.less, lessEqual: np.lessEqual, greater: np.greater, equal: np.equal } as const;

function broadcast(a: readonly number[], b: readonly number[]): boolean {
  const rank = Math.min(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => [a.at(-1 - i) as number, b.at(-1 - i) as number]).every(
    ([x, y]) => x === y || x === 1 || y === 1,
  );
}

/** A pair of slots that broadcast. */
function pair(
  slots: readonly Slot[],
  draws: Draws,
  dtypes: readonly string[],
  others = dtypes,
): [number, number] | null {
  const x = choose(slots, draws, dtypes);
  if (x === null) return null;
  const fits = slotsOf(slots, others).filter((i) => broadcast(slots[x].shape, slots[i].shape));
  return fits.length > 0 ? [x, draws.pick(fits)] : null;
}

const binary =
  (dtypes: readonly string[], table: Record<string, (x: jax.Array, y: jax.Array) => jax.Array>): Maker =>
  (slots, draws) => {
    const found = pair(slots, draws, dtypes);
    if (!found) return null;
    const [x, y] = draws.below(2) ? found : found.toReversed();
    const name = draws.pick(Object.keys(table));
    return { text: `(x, y) => ${name} of v${x}, v${y}`, run: (v) => table[name](v(x), v(y)) };
  };

/** A reduction over some of the axes, kept or not. */
const reduction = (
  dtypes: readonly string[],
  table: Record<string, (x: jax.Array, axis: number[], keepdims: boolean) => jax.Array>,
): Maker =>
  unary(dtypes, 0, ({ shape }, draws) => {
    const name = draws.pick(Object.keys(table));
    const axes = draws.subset(shape.length);
    const keepdims = draws.below(2) === 1;
    return [`${name}($, axes ${js(axes)}, keepdims ${keepdims})`, (x) => table[name](x, axes, keepdims)];
  });

/** A factorisation of the same size into another shape. */
function otherShape(shape: readonly number[], draws: Draws): number[] {
  const primes: number[] = [];
  for (let rest = size(shape), p = 2; rest > 1; p++) for (; rest % p === 0; rest /= p) primes.push(p);
  const result = new Array(1 + draws.below(4)).fill(1);
  const order = draws.permutation(primes.length);
  order.forEach((prime, i) => {
    result[Math.floor((i * result.length) / order.length)] *= primes[prime];
  });
  return result.length === 1 && result[0] === 1 ? [] : result;
}

/** Subscripts for two arrays: axes of equal length may share a letter; any of the letters remain. */
function subscripts(a: readonly number[], b: readonly number[], draws: Draws): string {
  const left = [..."abcdef"].slice(0, a.length);
  const unused = [..."uvwxyz"];
  const right: string[] = [];
  for (const length of b) {
    const same = left.filter((letter, i) => a[i] === length && !right.includes(letter));
    right.push(same.length > 0 && draws.below(4) > 0 ? draws.pick(same) : (unused.shift() as string));
  }
  const letters = [...new Set([...left, ...right])];
  const kept = draws.permutation(letters.length).map((i) => letters[i]);
  const out = kept.filter(() => draws.below(3) > 0).slice(0, 4);
  return `${left.join("")},${right.join("")}->${out.join("")}`;
}

/** By letters, as numbers: jax-js's own reading of the letters needs Node 22. */
function einsum(pattern: string, x: jax.Array, y: jax.Array): jax.Array {
  const [a, b, out] = pattern.split(/,|->/).map((letters) => [...letters].map((c) => c.charCodeAt(0) - 97));
  return np.einsum(x, a, y, b, out);
}

/**
 * The array as it is, for the sake of two faults of jax-js run line by line: sorts, and the scatter in the gradient
 * of a gather, read on beyond an array that is the first part of another, and comparisons are false in padding. Both need an array
 * that is only a view of another, which a product is not. Tracing drops the product.
 */
const fresh = (x: jax.Array) => x.mul(x.dtype === "bool" ? np.array(true) : 1);

/** Indices below `limit` from integers. */
const indices = (x: jax.Array, limit: number) =>
  np.minimum(np.abs(x), np.array(limit - 1, { dtype: jax.DType.Int32 }));

const makers: Record<string, Maker> = {
  pointwise: unary(float, 0, (_, draws) => {
    const name = draws.pick(Object.keys(pointwise));
    return [`${name} of $`, pointwise[name]];
  }),
  "float pair": binary(float, floatBinaries),
  "int pair": binary(["int32"], intBinaries),
  "bool pair": binary(["bool"], boolBinaries),
  "mixed pair": binary(number, binaries),
  "int unary": unary(["int32"], 0, (_, draws) => {
    const table: Record<string, (x: jax.Array) => jax.Array> = {
      neg: (x) => x.neg(),
      abs: np.abs,
      "twice it": (x) => x.mul(2),
      "minus 1": (x) => x.sub(1),
    };
    const name = draws.pick(Object.keys(table));
    return [`${name} of $`, table[name]];
  }),
  not: unary(["bool"], 0, () => ["not $", np.logicalNot]),
  compare: (slots, draws) => {
    const found = pair(slots, draws, any);
    if (!found) return null;
    const [x, y] = found;
    // jax-js's own backends know no order of booleans.
    const ordered = found.some((i) => slots[i].dtype !== "bool");
    const name = ordered ? draws.pick(Object.keys(comparisons) as (keyof typeof comparisons)[]) : "equal";
    return { text: `${name}(v${x}, v${y})`, run: (v) => comparisons[name](v(x), v(y)) };
  },
  "compare with a number": unary(number, 0, ({ dtype }, draws) => {
    const name = draws.pick(Object.keys(comparisons) as (keyof typeof comparisons)[]);
    const limit = draws.pick(dtype === "float32" ? [0.25, 1, -1] : [0, 1, -1]);
    return [`${name}($, ${limit})`, (x) => comparisons[name](x, np.array(limit))];
  }),
  where: (slots, draws) => {
    const condition = choose(slots, draws, ["bool"]);
    if (condition === null) return null;
    const fits = slotsOf(slots, any).filter((i) => broadcast(slots[condition].shape, slots[i].shape));
    if (fits.length === 0) return null;
    const yes = draws.pick(fits);
    const no = draws.pick(fits.filter((i) => broadcast(slots[yes].shape, slots[i].shape)));
    // Booleans promote to unsigned integers, which have no place here, unless both sides are.
    const kinds = new Set([yes, no].map((i) => slots[i].dtype));
    if (kinds.has("bool") && kinds.size > 1) return null;
    return draws.below(4) === 0 && !kinds.has("bool")
      ? { text: `where(v${condition}, v${yes}, 0)`, run: (v) => np.where(v(condition), v(yes), 0) }
      : {
          text: `where(v${condition}, v${yes}, v${no})`,
          run: (v) => np.where(v(condition), v(yes), v(no)),
        };
  },
  cast: unary(any, 0, ({ dtype }, draws) => {
    const to = draws.pick(any.filter((other) => other !== dtype)) as DType;
    return [`$.astype(${to})`, (x) => x.astype(to as jax.DType)];
  }),
  reduce: reduction(number, {
    sum: (x, axis, keepdims) => x.sum(axis, { keepdims }),
    max: (x, axis, keepdims) => x.max(axis, { keepdims }),
    min: (x, axis, keepdims) => x.min(axis, { keepdims }),
    // Away from 0, where the gradient is 0 / 0.
    "prod of 1/2 + squares": (x, axis, keepdims) => x.ref.mul(x).add(0.5).prod(axis, { keepdims }),
    mean: (x, axis, keepdims) => x.mean(axis, { keepdims }),
  }),
  "reduce booleans": reduction(["bool"], {
    any: (x, axis, keepdims) => x.any(axis, { keepdims }),
    all: (x, axis, keepdims) => x.all(axis, { keepdims }),
  }),
  normalise: unary(float, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    const table: Record<string, (x: jax.Array) => jax.Array> = {
      softmax: (x) => nn.softmax(x, axis),
      logSoftmax: (x) => nn.logSoftmax(x, axis),
      logsumexp: (x) => nn.logsumexp(x, axis),
      "layer norm": (x) => nn.standardize(x, axis, { epsilon: 0.1 }),
      variance: (x) => np.var_(x, axis),
      cumsum: (x) => np.cumsum(x, axis),
      "rms norm": (x) => x.ref.div(np.sqrt(x.ref.mul(x).mean(axis, { keepdims: true }).add(0.1))),
    };
    const name = draws.pick(Object.keys(table));
    return [`${name}($, axis ${axis})`, table[name]];
  }),
  einsum: (slots, draws) => {
    const dtypes = draws.below(5) === 0 ? ["int32"] : float;
    const [x, y] = [choose(slots, draws, dtypes), choose(slots, draws, dtypes)];
    if (x === null || y === null) return null;
    const pattern = subscripts(slots[x].shape, slots[y].shape, draws);
    return { text: `einsum(${pattern}, v${x}, v${y})`, run: (v) => einsum(pattern, v(x), v(y)) };
  },
  matmul: (slots, draws) => {
    const x = choose(slots, draws, float, 1);
    if (x === null) return null;
    const inner = slots[x].shape.at(-1) as number;
    const fits = slotsOf(slots, float, 1).filter((i) => {
      const { shape } = slots[i];
      const depth = shape.length === 1 ? shape[0] : shape.at(-2);
      return depth === inner && broadcast(slots[x].shape.slice(0, -2), shape.slice(0, -2));
    });
    if (fits.length === 0) {
      return { text: `dot(v${x}, v${x})`, run: (v) => lastDot(v(x), v(x)) };
    }
    const y = draws.pick(fits);
    return { text: `matmul(v${x}, v${y})`, run: (v) => np.matmul(v(x), v(y)) };
  },
  "dot along the last axis": (slots, draws) => {
    const found = pair(slots, draws, float);
    if (!found || found.some((i) => slots[i].shape.length === 0)) return null;
    const [x, y] = found;
    return { text: `dot(v${x}, v${y})`, run: (v) => lastDot(v(x), v(y)) };
  },
  transpose: unary(any, 1, ({ shape }, draws) => {
    const perm = draws.permutation(shape.length);
    return [`$.transpose(${js(perm)})`, (x) => x.transpose(perm)];
  }),
  reshape: unary(any, 0, ({ shape }, draws) => {
    const next = otherShape(shape, draws);
    return [`$.reshape(${js(next)})`, (x) => x.reshape(next)];
  }),
  broadcast: unary(any, 0, ({ shape }, draws) => {
    const grown = shape.map((length) => (length === 1 ? 1 + draws.below(3) : length));
    const next = grown.length < 4 ? [1 + draws.below(3), ...grown] : grown;
    return [`broadcastTo($, ${js(next)})`, (x) => np.broadcastTo(x, next)];
  }),
  "repeat along a new axis": unary(any, 0, ({ shape }, draws) => {
    if (shape.length > 3) return null;
    const axis = draws.below(shape.length + 1);
    const next = shape.toSpliced(axis, 0, 2 + draws.below(3));
    return [
      `broadcastTo(expandDims($, ${axis}), ${js(next)})`,
      (x) => np.broadcastTo(np.expandDims(x, axis), next),
    ];
  }),
  flip: unary(any, 1, ({ shape }, draws) => {
    const axes = draws.subset(shape.length);
    return [`flip($, ${js(axes)})`, (x) => np.flip(x, axes)];
  }),
  pad: unary(any, 1, ({ shape }, draws) => {
    const width = shape.map((): [number, number] => [draws.below(2), draws.below(2)]);
    return [`pad($, ${js(width)})`, (x) => fresh(np.pad(x, width))];
  }),
  slice: unary(any, 1, ({ shape }, draws) => {
    const parts = shape.map((length): number | [number, number] => {
      const start = draws.below(length);
      return draws.below(4) === 3 ? start : [start, start + 1 + draws.below(length - start)];
    });
    return [`$.slice(...${js(parts)})`, (x) => x.slice(...parts)];
  }),
  split: unary(any, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    if (shape[axis] < 2) return null;
    const at = 1 + draws.below(shape[axis] - 1);
    return [`split($, [${at}], ${axis})`, (x) => np.split(x, [at], axis)];
  }),
  concatenate: (slots, draws) => {
    const x = choose(slots, draws, any, 1);
    if (x === null) return null;
    const { shape, dtype } = slots[x];
    const axis = draws.below(shape.length);
    const fits = slotsOf(slots, [dtype], shape.length).filter(
      (i) =>
        slots[i].shape.length === shape.length &&
        slots[i].shape.every((length, k) => k === axis || length === shape[k]),
    );
    const list = [x, ...Array.from({ length: 1 + draws.below(3) }, () => draws.pick(fits))];
    return {
      text: `concatenate([${list.map((i) => `v${i}`)}], ${axis})`,
      run: (v) => np.concatenate(list.map(v), axis),
    };
  },
  stack: (slots, draws) => {
    const x = choose(slots, draws, any);
    if (x === null || slots[x].shape.length > 3) return null;
    const fits = slotsOf(slots, [slots[x].dtype]).filter((i) => js(slots[i].shape) === js(slots[x].shape));
    const [y, axis] = [draws.pick(fits), draws.below(slots[x].shape.length + 1)];
    return { text: `stack([v${x}, v${y}], ${axis})`, run: (v) => np.stack([v(x), v(y)], axis) };
  },
  tile: unary(any, 1, (_, draws) => {
    const count = 2 + draws.below(2);
    return [`tile($, ${count})`, (x) => np.tile(x, count)];
  }),
  triangle: unary(number, 2, (_, draws) => {
    const k = draws.below(3) - 1;
    return draws.below(2) ? [`tril($, ${k})`, (x) => np.tril(x, k)] : [`triu($, ${k})`, (x) => np.triu(x, k)];
  }),
  sort: unary(number, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    return draws.below(2)
      ? [`sort($, ${axis})`, (x) => fresh(np.sort(fresh(x), axis))]
      : [`argsort($, ${axis})`, (x) => np.argsort(fresh(x), axis)];
  }),
  argmax: unary(number, 1, ({ shape }, draws) => {
    const axis = draws.below(shape.length);
    return [`argmax($, ${axis})`, (x) => np.argmax(x, axis)];
  }),
  take: (slots, draws) => {
    const [x, i] = [choose(slots, draws, any, 1), choose(slots, draws, ["int32"])];
    if (x === null) return null;
    const { shape } = slots[x];
    const axis = draws.below(shape.length);
    if (i === null || draws.below(2)) {
      const list = [0, shape[axis] - 1, 0];
      return {
        text: `take(v${x}, ${js(list)}, ${axis})`,
        run: (v) => fresh(np.take(v(x), np.array(list, { dtype: jax.DType.Int32 }), axis)),
      };
    }
    if (shape.length - 1 + slots[i].shape.length > 5) return null;
    return {
      text: `take(v${x}, indices(v${i}), ${axis})`,
      run: (v) => fresh(np.take(v(x), indices(v(i), shape[axis]), axis)),
    };
  },
  "take along an axis": (slots, draws) => {
    const x = choose(slots, draws, any, 1);
    if (x === null) return null;
    const { shape } = slots[x];
    const axis = draws.below(shape.length);
    const fits = slotsOf(slots, ["int32"], shape.length).filter(
      (i) =>
        slots[i].shape.length === shape.length &&
        slots[i].shape.every((length, k) => k === axis || length === shape[k]),
    );
    if (fits.length === 0 || draws.below(2)) {
      return {
        text: `takeAlongAxis(v${x}, argsort(v${x}, ${axis}), ${axis})`,
        run: (v) =>
          fresh(np.takeAlongAxis(v(x), np.argsort(fresh(v(x).astype(jax.DType.Float32)), axis), axis)),
      };
    }
    const i = draws.pick(fits);
    return {
      text: `takeAlongAxis(v${x}, indices(v${i}), ${axis})`,
      run: (v) => fresh(np.takeAlongAxis(v(x), indices(v(i), shape[axis]), axis)),
    };
  },
  "index with two arrays": (slots, draws) => {
    const x = choose(slots, draws, any, 2);
    const found = pair(slots, draws, ["int32"]);
    if (x === null || !found || found.some((i) => slots[i].shape.length > 2)) return null;
    const { shape } = slots[x];
    const [i, j] = found;
    const gap = shape.length > 2 && draws.below(2) === 1;
    const leading = shape.length > 2 && !gap && draws.below(2) === 1;
    const [first, second] = gap ? [0, 2] : leading ? [1, 2] : [0, 1];
    return {
      text: `v${x}.slice(${leading ? "[], " : ""}indices(v${i}),${gap ? " []," : ""} indices(v${j}))`,
      run: (v) => {
        const index = [indices(v(i), shape[first]), indices(v(j), shape[second])];
        return fresh(
          v(x).slice(...(leading ? [[] as []] : []), index[0], ...(gap ? [[] as []] : []), index[1]),
        );
      },
    };
  },
  oneHot: unary(["int32"], 0, ({ shape }, draws) => {
    if (shape.length > 3) return null;
    const count = 2 + draws.below(3);
    return [`oneHot(indices($), ${count})`, (x) => nn.oneHot(indices(x, count), count)];
  }),
  vmap: unary(float, 1, ({ shape }, draws) => {
    const table: Record<string, (row: jax.Array) => jax.Array> = {
      "softmax(row) - sum(row)": (row) => nn.softmax(row.ref.reshape([-1]), 0).sub(row.sum()),
      "row[0] * row": (row) => row.ref.reshape([-1]).slice(0).mul(row),
      "sort(row)": (row) => fresh(np.sort(fresh(row.reshape([-1])))),
      "grad(sum(sin(row) row))": (row) => pointwise["grad(sum(sin(x) * x))"](row),
      "outer(row, row)": (row) => np.outer(row.ref.reshape([-1]), row.reshape([-1])),
      "pad(row)": (row) => fresh(np.pad(row.reshape([-1]), [[1, 0]])),
      "row[[0, 0, last]]": (row) => {
        const last = size(row.shape) - 1;
        return fresh(np.take(row.reshape([-1]), np.array([0, 0, last], { dtype: jax.DType.Int32 }), 0));
      },
    };
    const name = draws.pick(Object.keys(table));
    const axis = draws.below(shape.length);
    return [`vmap(row => ${name}, axis ${axis})($)`, (x) => jax.vmap(table[name], axis)(x)];
  }),
  constant: (slots, draws) => {
    const table: Record<string, () => jax.Array> = {
      "arange(4)": () => np.arange(4),
      "arange(3) as float32": () => np.arange(3).astype(jax.DType.Float32),
      "eye(3)": () => np.eye(3),
      "ones([2, 1])": () => np.ones([2, 1]),
      "zeros([3])": () => np.zeros([3]),
      "array(2.5)": () => np.array(2.5),
      "array(2, int32)": () => np.array(2, { dtype: jax.DType.Int32 }),
      "array([0.5, -1])": () => np.array([0.5, -1]),
      "array([[1], [0], [3]], int32)": () => np.array([[1], [0], [3]], { dtype: jax.DType.Int32 }),
      "array([true, false, true])": () => np.array([true, false, true]),
    };
    const name = draws.pick(Object.keys(table));
    return slots.length > 0 ? { text: name, run: () => table[name]() } : null;
  },
};

/** Drawn more often than the rest: most of a real program is these. */
const often = [
  "pointwise",
  "pointwise",
  "pointwise",
  "float pair",
  "float pair",
  "einsum",
  "matmul",
  "reduce",
  "normalise",
  "take",
];

/** The product along the last axis that every other one comes down to. */
function lastDot(x: jax.Array, y: jax.Array): jax.Array {
  const [rank, letters] = [Math.max(x.ndim, y.ndim), "abcdef"];
  const [a, b] = [x, y].map((array) => letters.slice(rank - array.ndim, rank));
  if (x.shape.at(-1) !== y.shape.at(-1) || js(x.shape.slice(-y.ndim)) !== js(y.shape.slice(-x.ndim)))
    return x.mul(y).sum(-1);
  return einsum(`${a},${b}->${letters.slice(0, rank - 1)}`, x, y);
}

/** A program before its details are settled, which depend on the shapes that come about. */
export interface Genome {
  readonly sources: readonly { dtype: DType; shape: readonly number[]; seed: number; captured: boolean }[];
  readonly steps: readonly (readonly [string, readonly number[]])[];
}

export const genomes = (minOperations: number, maxOperations: number): fc.Arbitrary<Genome> =>
  fc.record({
    sources: fc
      .array(
        fc.record({
          dtype: fc.constantFrom<DType>("float32", "float32", "float32", "int32", "bool"),
          shape: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
          seed: fc.nat(9999),
          captured: fc.nat(4).map((n) => n === 4),
        }),
        { minLength: 0, maxLength: 4 },
      )
      // The first argument is one that gradients can be taken of.
      .chain((rest) =>
        fc
          .array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 })
          .map((shape) => [{ dtype: "float32" as const, shape, seed: 1, captured: false }, ...rest]),
      ),
    steps: fc.array(
      fc.tuple(fc.constantFrom(...Object.keys(makers), ...often), fc.array(fc.nat(9999), { maxLength: 12 })),
      // Steps that do not fit are left out, so more are drawn than are wanted.
      { minLength: minOperations, maxLength: Math.ceil(1.3 * maxOperations) },
    ),
  });

function numbers(count: number, dtype: DType, seed: number): Float32Array | Int32Array {
  let state = seed * 2654435761 + 12345;
  const next = () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
  if (dtype === "float32") return Float32Array.from({ length: count }, () => 4 * next() - 2);
  return Int32Array.from({ length: count }, () =>
    dtype === "int32" ? Math.floor(9 * next()) - 4 : Number(next() < 0.5),
  );
}

export class RandomProgram {
  readonly lines: Line[] = [];
  /** The kind of operation on each line. */
  readonly kinds: string[] = [];
  readonly sources: readonly (Source & { captured: boolean })[];
  /** The slots of each line's results; the sources come first. */
  private readonly results: number[] = [];

  /** Settles the details by running the program, eagerly, line by line. */
  constructor(
    genome: Genome,
    readonly maxOperations: number,
  ) {
    this.sources = genome.sources.map((source) => ({
      ...source,
      data: numbers(size(source.shape), source.dtype, source.seed),
    }));
    const values = this.sources.map(toJax);
    for (const [name, draws] of genome.steps) {
      if (this.lines.length === maxOperations) break;
      const line = makers[name](values, new Draws(draws));
      if (!line) continue;
      const made = [line.run((slot) => values[slot].ref)].flat();
      if (!made.every(isTame)) continue;
      this.lines.push(line);
      this.kinds.push(name);
      this.results.push(made.length);
      values.push(...made);
    }
  }

  /** The arguments' sources: those that are not captured. */
  get arguments(): readonly Source[] {
    return this.sources.filter((source) => !source.captured);
  }

  get captured(): readonly Source[] {
    return this.sources.filter((source) => source.captured);
  }

  /** The program as a function of its arguments. All arrays that nothing else reads are results. */
  apply(args: readonly jax.Array[], captured: readonly jax.Array[]): jax.Array[] {
    const [given, constants] = [[...args], [...captured]];
    const values = this.sources.map((source) =>
      source.captured ? (constants.shift() as jax.Array).ref : (given.shift() as jax.Array),
    );
    const read = new Set<number>();
    for (const line of this.lines) {
      const made = line.run((slot) => {
        read.add(slot);
        return values[slot].ref;
      });
      values.push(...[made].flat());
    }
    const last = values.length - 1;
    const isResult = (slot: number) => slot === last || (slot >= this.sources.length && !read.has(slot));
    for (const [slot, value] of values.entries()) if (!isResult(slot)) value.dispose();
    return values.filter((_, slot) => isResult(slot));
  }

  /** A scalar that depends on every float result, with a weight of its own for each element. */
  loss(args: readonly jax.Array[], captured: readonly jax.Array[]): jax.Array {
    return this.apply(args, captured).reduce<jax.Array>((total, result) => {
      const numbers = Float32Array.from({ length: result.size }, (_, i) => Math.cos(i));
      const weights = np.array(numbers, { shape: result.shape });
      return total.add(weights.mul(result.astype(jax.DType.Float32)).sum());
    }, np.zeros([]));
  }

  toString(): string {
    const sources = this.sources.map(
      ({ dtype, shape, data, captured }, i) =>
        `  v${i} = ${captured ? "constant" : "argument"} ${dtype}${js(shape)} ${js([...data])}`,
    );
    let next = this.sources.length;
    const lines = this.lines.map((line, i) => {
      const names = Array.from({ length: this.results[i] }, () => `v${next++}`);
      return `  ${names.join(", ")} = ${line.text}`;
    });
    return `\n${[...sources, ...lines].join("\n")}\n`;
  }

  /** How fast-check prints a program. */
  [fc.toStringMethod](): string {
    return this.toString();
  }
}

export const toJax = ({ data, dtype, shape }: Source): jax.Array =>
  np.array(data, { dtype: dtype as jax.DType, shape: [...shape] });

/** Small enough to compare element by element, and far from the ends of the number formats. */
function isTame(array: jax.Array): boolean {
  if (array.size > 512 || !["float32", "int32", "bool"].includes(array.dtype)) return false;
  return Array.from<number>(array.ref.dataSync()).every((x) => Math.abs(x) < 100);
}
