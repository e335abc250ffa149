import * as jax from "@jax-js/jax";
import {
  any,
  binary,
  broadcast,
  choose,
  float,
  integer,
  type Maker,
  number,
  pair,
  slotsOf,
  unary,
} from "./operation.js";

const { numpy: np, nn, lax } = jax;

/** A function of floats that is smooth, or nearly everywhere so, and tame. */
export const pointwise: Record<string, (x: jax.Array) => jax.Array> = {
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

/** Between 1 and 7, whatever the integer. */
const divisor = (x: jax.Array) => np.abs(x.mod(7)).add(1);

const intBinaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  ...binaries,
  "x div (1 + |y mod 7|)": (x, y) => x.div(divisor(y)),
  "x mod (1 + |y mod 7|)": (x, y) => x.mod(divisor(y)),
  "x div -(1 + |y mod 7|)": (x, y) => x.div(divisor(y).neg()),
  "x & y": np.bitwiseAnd,
  "x | y": np.bitwiseOr,
  "x ^ y": np.bitwiseXor,
  "x << y": np.leftShift,
  "x >> y": np.rightShift,
};

const boolBinaries: Record<string, (x: jax.Array, y: jax.Array) => jax.Array> = {
  "x & y": np.bitwiseAnd,
  "x ^ y": np.bitwiseXor,
  and: np.logicalAnd,
  or: np.logicalOr,
  xor: np.logicalXor,
  minimum: np.minimum,
  maximum: np.maximum,
  add: (x, y) => x.add(y),
  mul: (x, y) => x.mul(y),
};

const comparisons = { less: np.less, lessEqual: np.lessEqual, greater: np.greater, equal: np.equal } as const;

export const elementwise: Record<string, Maker> = {
  pointwise: unary(float, 0, (_, draws) => {
    const name = draws.pick(Object.keys(pointwise));
    return [`${name} of $`, pointwise[name]];
  }),
  "float pair": binary(float, floatBinaries),
  "int pair": binary(["int32"], intBinaries),
  "unsigned pair": binary(["uint32"], intBinaries),
  "bool pair": binary(["bool"], boolBinaries),
  "mixed pair": binary(number, binaries),
  "int unary": unary(integer, 0, (_, draws) => {
    const table: Record<string, (x: jax.Array) => jax.Array> = {
      neg: (x) => x.neg(),
      abs: np.abs,
      "twice it": (x) => x.mul(2),
      // Not minus a weakly typed 1: -1 becomes 0 as an unsigned integer.
      "minus 1": (x) => x.sub(np.array(1, { dtype: x.dtype })),
      invert: np.invert,
      "count of ones": np.bitwiseCount,
      "div 4": (x) => x.div(4),
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
    // Floats are moved off whole numbers: what cancels to nearly 0 would be compared by its rounding.
    const off = found.some((i) => slots[i].dtype.startsWith("float")) && ordered;
    return off
      ? { text: `${name}(v${x}, v${y} + 0.0137)`, run: (v) => comparisons[name](v(x), v(y).add(0.0137)) }
      : { text: `${name}(v${x}, v${y})`, run: (v) => comparisons[name](v(x), v(y)) };
  },
  "compare with a number": unary(number, 0, ({ dtype }, draws) => {
    const name = draws.pick(Object.keys(comparisons) as (keyof typeof comparisons)[]);
    const limit = draws.pick(float.includes(dtype) ? [0.25, 1, -1] : [0, 1, -1]);
    return [`${name}($, ${limit})`, (x) => comparisons[name](x, np.array(limit))];
  }),
  where: (slots, draws) => {
    const condition = choose(slots, draws, ["bool"]);
    if (condition === null) return null;
    const fits = slotsOf(slots, any).filter((i) => broadcast(slots[condition].shape, slots[i].shape));
    if (fits.length === 0) return null;
    const yes = draws.pick(fits);
    const no = draws.pick(fits.filter((i) => broadcast(slots[yes].shape, slots[i].shape)));
    return draws.below(4) === 0 && slots[yes].dtype !== "bool"
      ? { text: `where(v${condition}, v${yes}, 0)`, run: (v) => np.where(v(condition), v(yes), 0) }
      : {
          text: `where(v${condition}, v${yes}, v${no})`,
          run: (v) => np.where(v(condition), v(yes), v(no)),
        };
  },
  "the same bits": unary(["float32", "int32", "uint32"], 0, ({ dtype }, draws) => {
    // Few bits of integers are tame floats, so those come by way of one.
    const to = draws.pick(integer.filter((other) => other !== dtype)) as jax.DType;
    // Of floats that come out exactly, and not as 0, which may have either sign.
    const exact = (x: jax.Array) => (dtype === "float32" ? np.floor(x.mul(8)).add(0.5) : x);
    if (dtype === "float32" || draws.below(2) === 0) {
      return [
        `bits of (floor(8 x) + 1/2 or integer) $ as ${to}`,
        (x) => lax.bitcastConvertType(exact(x), to),
      ];
    }
    const one = np.array(0x3f800000, { dtype: jax.DType.Int32 });
    return [
      "bits of ($ mod 1024) * 2^13 + 1.0 as float32",
      (x) => {
        const fraction = np.abs(x.mod(1024)).astype(jax.DType.Int32).mul(8192);
        return lax.bitcastConvertType(fraction.add(one.ref), jax.DType.Float32);
      },
    ];
  }),
  cast: unary(any, 0, ({ dtype }, draws) => {
    const to = draws.pick(any.filter((other) => other !== dtype)) as jax.DType;
    // jax-js has no gradient of a conversion.
    return [`$.astype(${to})`, (x) => lax.stopGradient(x.astype(to))];
  }),
};
