import * as jax from "@jax-js/jax";
import fc from "fast-check";
import * as ort from "onnxruntime-node";
import { describe, expect, it, vi } from "vitest";
import { finish } from "../onnx/finish.js";
import { encodeModel } from "../onnx/model.js";
import { Tensor } from "../tensor.js";
import { type Equation, type Traced, trace } from "../trace.js";

const { numpy: np, nn, lax } = jax;

/** Every array that jax-js's primitives were given or gave while segments ran on them. */
const seen = new Set<jax.Array>();
const rules = jax.Array as unknown as { _implRules(): Record<string, (...args: unknown[]) => jax.Array[]> };
const original = rules._implRules();
let failing: string | undefined;
vi.spyOn(rules, "_implRules").mockReturnValue(
  Object.fromEntries(
    Object.entries(original).map(([name, rule]) => [
      name,
      (inputs, params) => {
        if (name === failing) throw new Error(`${name} failed on purpose`);
        const outputs = rule(inputs, params);
        for (const array of [...(inputs as jax.Array[]), ...outputs]) seen.add(array);
        return outputs;
      },
    ]),
  ),
);
const { SegmentedSession } = await import("./segmented-session.js");

const floats = (shape: readonly number[], seed: number): Tensor => {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from({ length: size }, (_, i) => 0.5 * Math.sin(12.9 * (i + 1) + 78.2 * seed + 0.3 * i * i)),
    shape,
  );
};

const open = (traced: Traced, isLowered: (equation: Equation) => boolean) =>
  SegmentedSession.create(traced, isLowered, (lowered) => {
    const paths = lowered.inputs.map(() => "");
    return ort.InferenceSession.create(encodeModel(finish("part", lowered, paths, [])), {
      intraOpNumThreads: 1,
    });
  });

const scale = np.array([1.5, 0.5, -1, 2, 0.25, 3]);

/** A training step with an embedding, attention, a norm and Adam. */
const trainingStep: (...args: jax.Array[]) => unknown = (table, wide, moment, tokens, x) => {
  const loss = (table: jax.Array, wide: jax.Array) => {
    const hidden = nn.standardize(np.take(table, tokens, 0).add(x)).mul(scale);
    const scores = np.matmul(hidden, hidden.transpose());
    const mixed = np.matmul(nn.softmax(scores), hidden);
    const logProbs = nn.logSoftmax(np.matmul(nn.gelu(mixed), wide), -1);
    return np
      .takeAlongAxis(logProbs, tokens.reshape([8, 1]), -1)
      .mean()
      .neg();
  };
  const [value, gradients] = jax.valueAndGrad(loss, { argnums: [0, 1] })(table, wide) as unknown as [
    jax.Array,
    [jax.Array, jax.Array],
  ];
  const next = np.square(moment).mul(0.9).add(np.square(gradients[1]).mul(0.1));
  return [table.sub(gradients[0].mul(0.1)), wide.sub(gradients[1].div(np.sqrt(next).add(1e-3))), next, value];
};

/** Integers, booleans, joins and cuts, and a triangular system. */
const mixedTypes: (...args: jax.Array[]) => unknown = (x, tokens) => {
  const big = np.greater(tokens, 2);
  const counts = np.where(big, tokens, tokens.mul(-1)).add(3);
  const joined = np.concatenate([x, np.flip(x, 0), np.where(big.reshape([8, 1]), x, 0)], 0);
  const gram = np.matmul(x.transpose(), x).add(np.eye(6));
  const solved = lax.linalg.triangularSolve(gram, x, { leftSide: false });
  return [
    counts,
    big,
    joined.slice([2, 20], [1, 5]),
    solved,
    np.sort(x),
    np.argsort(x),
    x.sum(0).mul(counts.max()),
  ];
};

const tokens = new Tensor(Int32Array.of(0, 4, 2, 1, 3, 2, 0, 4));
const programs: [string, typeof mixedTypes, Tensor[]][] = [
  [
    "a training step",
    trainingStep,
    [floats([5, 6], 1), floats([6, 5], 2), floats([6, 5], 4), tokens, floats([8, 6], 3)],
  ],
  ["a program of several types", mixedTypes, [floats([8, 6], 5), tokens]],
];

describe("random parts of a program on jax-js", () => {
  for (const [title, fn, args] of programs) {
    it(`give the same results, and leave no array behind: ${title}`, async () => {
      const traced = await trace(fn, args);
      const feeds = Object.fromEntries(
        args.map(({ dtype, data, shape }, i) => [`in${i}`, new ort.Tensor(dtype, data, shape)]),
      );
      const whole = await open(traced, () => true);
      const fetches = Object.fromEntries(whole.outputs.map(({ name }) => [name, null]));
      const expected = await whole.run(feeds, fetches);
      await whole.release();

      const { eqns } = traced.jaxpr;
      const choices = fc.array(fc.integer({ min: 0, max: 9 }), {
        minLength: eqns.length,
        maxLength: eqns.length,
      });
      await fc.assert(
        fc.asyncProperty(choices, fc.integer({ min: 0, max: 10 }), async (draws, share) => {
          seen.clear();
          const foreign = new Set(eqns.filter((_, i) => draws[i] < share));
          const session = await open(traced, (equation) => !foreign.has(equation));
          for (let run = 0; run < 2; run++) {
            const results = await session.run(feeds, fetches);
            for (const { name, dtype, shape } of session.outputs) {
              expect([results[name].type, results[name].dims]).toEqual([dtype, shape]);
              const values = expected[name].data as Float32Array;
              (results[name].data as Float32Array).forEach((value, i) => {
                expect(value).toBeCloseTo(values[i], 4);
              });
            }
          }
          await session.release();
          if (share === 10) expect(seen.size).toBeGreaterThan(10);
          expect([...seen].filter((array) => array.refCount !== 0)).toEqual([]);
        }),
        { numRuns: 8, endOnFailure: true },
      );
    });
  }

  it("leaves only the operands of a primitive that throws", async () => {
    const traced = await trace((x: jax.Array) => np.cos(np.sin(x)).add(np.exp(x)).mul(x), [floats([3], 1)]);
    const session = await open(traced, () => false);
    const run = () =>
      session.run({ in0: new ort.Tensor("float32", new Float32Array(3), [3]) }, { out0: null });
    seen.clear();
    failing = "cos";
    try {
      await expect(run()).rejects.toThrow("on purpose");
    } finally {
      failing = undefined;
    }
    const left = [...seen].filter((array) => array.refCount !== 0);
    expect(left.map((array) => array.refCount)).toEqual([1]);
    await run();
    await session.release();
  });

  it("takes numbers in the type of what they meet", async () => {
    const big = new Tensor(Int32Array.of(16777216, 16777217));
    const traced = await trace(
      (x: jax.Array) => [
        np.equal(x, 16777216),
        x.mul(3),
        x.mul(np.sin(np.exp(0))),
        np.where(x.less(0), 1, x),
      ],
      [big],
    );
    const feeds = { in0: new ort.Tensor("int32", big.data, [2]) };
    for (const foreign of [
      [],
      ["exp"],
      ["mul", "compare", "where"],
      ["exp", "sin", "mul", "compare", "where"],
    ]) {
      const session = await open(traced, ({ primitive }) => !foreign.includes(primitive));
      const fetches = Object.fromEntries(session.outputs.map(({ name }) => [name, null]));
      const { out0, out1, out2, out3 } = await session.run(feeds, fetches);
      expect([...out0.data]).toEqual([1, 0]);
      expect([...out1.data]).toEqual([3 * 16777216, 3 * 16777217]);
      expect(out2.type).toBe(session.outputs[2].dtype);
      expect([...out3.data]).toEqual([16777216, 16777217]);
      await session.release();
    }
  });

  it("ends the runs that are under way before it is freed", async () => {
    const args = [floats([3], 1)];
    const alternate = (x: jax.Array) => np.exp(np.sin(np.exp(np.sin(np.exp(np.sin(np.exp(x)))))));
    const traced = await trace(alternate, args);
    const session = await open(traced, ({ primitive }) => primitive !== "sin");
    const feeds = { in0: new ort.Tensor("float32", args[0].data as Float32Array, [3]) };
    const runs = [session.run(feeds, { out0: null }), session.run(feeds, { out0: null })];
    let ended = 0;
    for (const run of runs) void run.then(() => ended++);
    await session.release();
    expect(ended).toBe(2);
    const [a, b] = await Promise.all(runs);
    expect(a.out0.data).toEqual(b.out0.data);
  });

  it("writes results into the tensors that it is given", async () => {
    const args = [floats([6], 1)];
    const traced = await trace((x: jax.Array) => [np.sin(x), np.exp(np.sin(x)), x, np.exp(np.sin(x))], args);
    const session = await open(traced, ({ primitive }) => primitive !== "sin");
    const into = session.outputs.map(({ shape }) => new ort.Tensor("float32", new Float32Array(6), shape));
    const results = await session.run(
      { in0: new ort.Tensor("float32", args[0].data as Float32Array, [6]) },
      Object.fromEntries(into.map((tensor, i) => [`out${i}`, tensor])),
    );
    const [sine, exp, same, again] = into.map(({ data }) => [...(data as Float32Array)]);
    args[0].data.forEach((x, i) => {
      expect(sine[i]).toBeCloseTo(Math.sin(x), 5);
      expect(exp[i]).toBeCloseTo(Math.exp(Math.sin(x)), 5);
      expect(same[i]).toBe(x);
    });
    expect(again).toEqual(exp);
    into.forEach(({ data }, i) => {
      expect(results[`out${i}`].data).toBe(data);
    });
    await session.release();
  });
});
