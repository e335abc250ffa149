import * as jax from "@jax-js/jax";
import { beforeAll, describe, expect, it } from "vitest";
import { withCorrections } from "./corrections.js";
import { Tensor } from "./tensor.js";
import { runCompiled } from "./testing/run-both.js";

const { numpy: np, random } = jax;

beforeAll(() => {
  jax.defaultDevice("wasm");
});

describe("faults of jax-js, in compiled programs", () => {
  it("vmap over the last axis keeps axes apart that have the same length", async () => {
    const cube = new Tensor(
      Float32Array.from({ length: 8 }, (_, i) => i),
      [2, 2, 2],
    );
    const mapped = await runCompiled((x) => jax.vmap((y: jax.Array) => np.cumsum(y, 1), 2)(x), [cube]);
    // x[b, i, j] = 4 i + 2 j + b, summed along j.
    expect([...mapped.data]).toEqual([0, 2, 4, 10, 1, 4, 5, 12]);
  });

  it("vmap over the last axis indexes with arrays of any rank", async () => {
    const block = new Tensor(
      Float32Array.from({ length: 48 }, (_, i) => i),
      [2, 3, 2, 4],
    );
    const one = np.array(1, { dtype: jax.DType.Int32 });
    const mapped = await runCompiled((x) => jax.vmap((y: jax.Array) => y.slice(one, one), 3)(x), [block]);
    expect(mapped.shape).toEqual([4, 2]);
    expect([...mapped.data]).toEqual([32, 36, 33, 37, 34, 38, 35, 39]);
  });

  it("numbers in jitted functions stay weakly typed under vmap", async () => {
    const keys = new Tensor(Uint32Array.of(1, 2, 3, 4), [2, 2]);
    const draw = (key: jax.Array) => random.randint(key, { minval: 0, maxval: 1000, shape: [5] });
    const mapped = await runCompiled((k) => jax.vmap(draw)(k), [keys]);
    const rows = await runCompiled((k) => np.stack([draw(k.slice(0)), draw(k.slice(1))]), [keys]);
    expect(mapped).toEqual(rows);
    expect(mapped.dtype).toBe("int32");
  });

  it("are back afterwards, so that programs outside are as before", () => {
    const traced = () => {
      const { jaxpr } = jax.makeJaxpr((x: jax.Array) => x.mul(2))(np.ones([1]));
      return (jaxpr.jaxpr as unknown as { eqns: { inputs: { dtype: string }[] }[] }).eqns[0].inputs[1].dtype;
    };
    expect(withCorrections(traced)).toBeUndefined();
    expect(traced()).toBe("float32");
    expect(() =>
      withCorrections(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(traced()).toBe("float32");
  });
});
