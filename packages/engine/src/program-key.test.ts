import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { programKey } from "./program-key.js";
import { type Tensor, zeros } from "./tensor.js";
import { trace } from "./trace.js";

const { numpy: np } = jax;
type Fn = (...args: jax.Array[]) => unknown;

const keyOf = async (fn: Fn, args: Tensor[] = [zeros([2, 3])], more: unknown = "") =>
  programKey(await trace(fn as never, args), more);

const base: Fn = (x) =>
  np
    .sin(x)
    .mul(np.array([1, 2, 3]))
    .sum(0)
    .add(0.5);

describe("the key of a program", () => {
  it("is the same for a program that is traced again", async () => {
    expect(await keyOf(base)).toBe(await keyOf((y) => base(y)));
    expect(await keyOf(base)).toMatch(/^[0-9a-f]{64}$/);
  });

  const others: [string, Fn, Tensor[], unknown][] = [
    [
      "another operation",
      (x) =>
        np
          .cos(x)
          .mul(np.array([1, 2, 3]))
          .sum(0)
          .add(0.5),
      [zeros([2, 3])],
      "",
    ],
    [
      "another number",
      (x) =>
        np
          .sin(x)
          .mul(np.array([1, 2, 3]))
          .sum(0)
          .add(0.25),
      [zeros([2, 3])],
      "",
    ],
    [
      "another constant",
      (x) =>
        np
          .sin(x)
          .mul(np.array([1, 2, 4]))
          .sum(0)
          .add(0.5),
      [zeros([2, 3])],
      "",
    ],
    [
      "another axis",
      (x) =>
        np
          .sin(x)
          .mul(np.array([1, 2, 3]))
          .sum(1)
          .sum()
          .add(0.5),
      [zeros([2, 3])],
      "",
    ],
    ["another shape", base, [zeros([4, 3])], ""],
    ["more that it depends on", base, [zeros([2, 3])], "option"],
    ["a result more", (x) => [base(x), x], [zeros([2, 3])], ""],
  ];
  it.each(others)("is another with %s", async (_, fn, args, more) => {
    expect(await keyOf(fn, args, more)).not.toBe(await keyOf(base));
  });

  it("tells apart zeros of either sign, and operands that are exchanged", async () => {
    const minus: Fn = (x, y) => x.sub(y);
    const exchanged: Fn = (x, y) => y.sub(x);
    const two = [zeros([2]), zeros([2])];
    expect(await keyOf(minus, two)).not.toBe(await keyOf(exchanged, two));
    expect(await keyOf((x) => np.where(x.less(1), x, 0))).not.toBe(
      await keyOf((x) => np.where(x.less(1), x, -0)),
    );
  });

  it("is none where a parameter is nothing that a text could stand for", async () => {
    expect(await keyOf(base, [zeros([2, 3])], () => {})).toBeUndefined();
    expect(await keyOf(base, [zeros([2, 3])], new Map())).toBeUndefined();
  });
});
