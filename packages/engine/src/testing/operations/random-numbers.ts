import * as jax from "@jax-js/jax";
import { type Draws, float, fresh, js, type Maker, type Slot, slotsOf } from "./operation.js";

const { numpy: np, random } = jax;

/** A key that depends on the program's arguments, so that it is not known when the program is compiled. */
function keyOf(
  slots: readonly Slot[],
  draws: Draws,
): [string, (v: (slot: number) => jax.Array) => jax.Array] {
  const seeds = slotsOf(slots, ["int32", "uint32"]).filter((i) => slots[i].shape.length === 0);
  const constant = draws.below(1000);
  if (seeds.length === 0 || draws.below(3) === 0) return [`key(${constant})`, () => random.key(constant)];
  const seed = draws.pick(seeds);
  return [`key(v${seed})`, (v) => random.key(v(seed) as unknown as number)];
}

/** Draws of a shape. The tails of unbounded ones are cut, where rounding of 1 - u shows. */
const draw: Record<string, (key: jax.Array, shape: number[]) => jax.Array> = {
  bits: (key, shape) => random.bits(key, shape),
  uniform: (key, shape) => random.uniform(key, shape),
  "uniform in [-2, 3)": (key, shape) => random.uniform(key, shape, { minval: -2, maxval: 3 }),
  normal: (key, shape) => np.clip(random.normal(key, shape), -3, 3),
  bernoulli: (key, shape) => random.bernoulli(key, 0.4, shape),
  // As randint, which is jitted: under grad jax-js makes strongly typed floats of the numbers in there.
  "integer in [-3, 4)": (key, shape) => random.bits(key, shape).mod(7).astype(jax.DType.Int32).sub(3),
  rademacher: (key, shape) => random.rademacher(key, { shape }),
  laplace: (key, shape) => np.clip(random.laplace(key, shape), -3, 3),
  "uniform of the second of 3 keys": (key, shape) => random.uniform(random.split(key, 3).slice(1), shape),
  "uniform of 2 keys": (key, shape) =>
    jax
      .vmap((k: jax.Array) => random.uniform(k, shape))(random.split(key, 2))
      .sum(0),
};

export const randomNumbers: Record<string, Maker> = {
  draw: (slots, draws) => {
    const [text, key] = keyOf(slots, draws);
    const name = draws.pick(Object.keys(draw));
    const shape = Array.from({ length: draws.below(4) }, () => 1 + draws.below(4));
    return { text: `${name}(${text}, ${js(shape)})`, run: (v) => draw[name](key(v), shape) };
  },
  permutation: (slots, draws) => {
    const [text, key] = keyOf(slots, draws);
    const length = 1 + draws.below(8);
    return { text: `permutation(${text}, ${length})`, run: (v) => random.permutation(key(v), length) };
  },
  dropout: (slots, draws) => {
    const [text, key] = keyOf(slots, draws);
    const found = slotsOf(slots, float);
    if (found.length === 0) return null;
    const at = draws.pick(found);
    const shape = [...slots[at].shape];
    return {
      text: `where(bernoulli(${text}, 0.5), v${at}, 0)`,
      run: (v) => np.where(random.bernoulli(key(v), 0.5, shape), v(at), 0),
    };
  },
  categorical: (slots, draws) => {
    const [text, key] = keyOf(slots, draws);
    const found = slotsOf(slots, ["float32"], 1);
    if (found.length === 0) return null;
    const at = draws.pick(found);
    const axis = draws.below(slots[at].shape.length);
    return {
      text: `categorical(${text}, v${at}, axis ${axis})`,
      run: (v) => fresh(random.categorical(key(v), v(at), { axis })),
    };
  },
};
