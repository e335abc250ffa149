import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { Tensor } from "../tensor.js";
import { type Traced, trace } from "../trace.js";
import { cut, isVariable, unlowered } from "./segments.js";

const { numpy: np, lax } = jax;

const floats = (...shape: number[]) =>
  new Tensor(new Float32Array(shape.reduce((product, length) => product * length, 1)), shape);

/** The executors in order, with the primitives of each. */
const summary = (traced: Traced, foreign: readonly string[]) =>
  cut(traced, ({ primitive }) => !foreign.includes(primitive)).map(({ executor, jaxpr }) => [
    executor,
    ...jaxpr.eqns.map(({ primitive }) => primitive),
  ]);

describe("unlowered", () => {
  it("finds the equations without a lowering, wherever they stand, with the reasons", async () => {
    const traced = await trace(
      (x: jax.Array) => {
        const [vectors, values] = lax.linalg.eigh(np.sin(x));
        return [np.matmul(vectors, vectors), lax.linalg.eigh(vectors)[1], values];
      },
      [floats(3, 3)],
    );
    const found = [...unlowered(traced.jaxpr)].map(([equation, { what }]) => [equation.primitive, what]);
    expect(found).toEqual([
      ["jacobi_eigh", "jacobi_eigh"],
      ["jacobi_eigh", "jacobi_eigh"],
    ]);
  });
});

describe("cut", () => {
  it("leaves a program whole where nothing is foreign", async () => {
    const traced = await trace((x: jax.Array) => np.exp(np.sin(x)), [floats(3)]);
    expect(summary(traced, [])).toEqual([["onnx", "sin", "exp"]]);
    expect(summary(traced, ["sin", "exp"])).toEqual([["jax-js", "sin", "exp"]]);
  });

  it("gathers what is independent into as few segments as the data flow allows", async () => {
    const traced = await trace(
      (x: jax.Array, y: jax.Array) => [
        np.cos(np.sin(np.exp(x))),
        np.exp(np.cos(np.sin(np.exp(y)))),
        np.sin(np.log(x)),
      ],
      [floats(3), floats(3)],
    );
    expect(summary(traced, ["sin"])).toEqual([
      ["onnx", "exp", "exp", "log"],
      ["jax-js", "sin", "sin", "sin"],
      ["onnx", "cos", "cos", "exp"],
    ]);
  });

  it("looks at a value again in each segment instead of handing over what is written out", async () => {
    const [rows, columns] = [50, 40];
    const traced = await trace(
      (x: jax.Array, y: jax.Array) =>
        np
          .matmul(np.sin(x), np.cos(y))
          .sum()
          .add(np.sin(np.matmul(x, y)).sum()),
      [floats(rows, 30), floats(30, columns)],
    );
    for (const foreign of [["sin"], ["cos"], ["dot"], ["sin", "dot"]]) {
      const segments = cut(traced, ({ primitive }) => !foreign.includes(primitive));
      const handed = segments.flatMap(({ inputs }) => inputs);
      for (const { aval } of handed) {
        expect(aval.shape.reduce((product, length) => product * length, 1)).toBeLessThanOrEqual(
          rows * columns,
        );
      }
    }
  });

  it("makes views that are results where their contents are", async () => {
    const traced = await trace(
      (x: jax.Array) => [np.sin(x).reshape([2, 3]), x.transpose(), x],
      [floats(6, 1)],
    );
    expect(summary(traced, ["sin"])).toEqual([
      ["onnx", "transpose"],
      ["jax-js", "sin", "reshape"],
    ]);
  });

  it("gives each segment what it needs from before, and every result once", async () => {
    const traced = await trace(
      (x: jax.Array) => {
        const loss = (y: jax.Array) => np.tanh(np.matmul(np.sin(y), np.exp(y))).sum();
        return jax.valueAndGrad(loss)(x);
      },
      [floats(4, 4)],
    );
    for (const modulus of [2, 3, 5]) {
      const known = new Set(traced.jaxpr.inBinders);
      let count = 0;
      for (const { jaxpr, executor } of cut(
        traced,
        (equation) => equation.outBinders[0].id % modulus !== 0,
      )) {
        for (const variable of jaxpr.inBinders) expect(known.has(variable)).toBe(true);
        const inside = new Set(jaxpr.inBinders);
        for (const equation of jaxpr.eqns) {
          for (const atom of equation.inputs) if (isVariable(atom)) expect(inside.has(atom)).toBe(true);
          for (const variable of equation.outBinders) inside.add(variable);
          if (executor === "onnx") expect(equation.outBinders[0].id % modulus).not.toBe(0);
        }
        for (const atom of jaxpr.outs.filter(isVariable)) {
          expect(inside.has(atom)).toBe(true);
          expect(known.has(atom)).toBe(false);
          known.add(atom);
        }
        count++;
      }
      expect(count).toBeGreaterThan(1);
      for (const atom of traced.jaxpr.outs.filter(isVariable)) expect(known.has(atom)).toBe(true);
    }
  });
});
