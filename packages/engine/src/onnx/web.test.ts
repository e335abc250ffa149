import * as jax from "@jax-js/jax";
import fc from "fast-check";
import * as web from "onnxruntime-web";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "../compile.js";
import { withFloat16Array } from "../float16-array.js";
import { Tensor } from "../tensor.js";
import { genomes, RandomProgram, toJax } from "../testing/random-program.js";

const { numpy: np, nn } = jax;

// Another runtime than the engine's own loads what toOnnx() writes: onnxruntime-web, compiled to Wasm.

beforeAll(() => {
  web.env.wasm.numThreads = 1;
  jax.defaultDevice("wasm");
});

async function loadAndRun(model: Uint8Array, inputs: readonly Tensor[]) {
  const session = await web.InferenceSession.create(model, { executionProviders: ["wasm"] });
  // It brings Node a global Worker along, from which jax-js would conclude that its own memory is shared.
  Reflect.deleteProperty(globalThis, "Worker");
  const { inputNames, outputNames, inputMetadata, outputMetadata } = session;
  const results = await session.run(
    Object.fromEntries(
      inputs.map(({ dtype, data, shape }, i) => [inputNames[i], new web.Tensor(dtype, data as never, shape)]),
    ),
  );
  await session.release();
  const outputs = outputNames.map((name) => results[name]);
  return { inputNames, outputNames, inputMetadata, outputMetadata, outputs };
}

const floats = (shape: readonly number[], phase: number) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(3 * i + phase)),
    shape,
  );

/** The largest difference, in units of float32's relative precision around 1. */
const difference = (a: Iterable<number>, b: ArrayLike<number>) =>
  Math.max(0, ...Array.from(a, (x, i) => (Object.is(x, b[i]) ? 0 : Math.abs(x - b[i]) / (1 + Math.abs(x)))));

describe("toOnnx in onnxruntime-web", () => {
  it("is a step with gradients that loads by names and shapes and gives the same numbers", async () => {
    const params = { embedding: floats([7, 8], 1), out: floats([8, 7], 2) };
    const tokens = new Tensor(Int32Array.of(1, 6, 0, 3, 3, 5), [2, 3]);
    const loss = (p: { embedding: jax.Array; out: jax.Array }, tokens: jax.Array) => {
      const hidden = nn.standardize(nn.gelu(np.take(p.embedding, tokens, 0)));
      const logProbs = nn.logSoftmax(np.matmul(hidden, p.out), -1);
      return np
        .takeAlongAxis(logProbs, tokens.reshape([2, 3, 1]), -1)
        .mean()
        .neg();
    };
    const program = await compile(
      (p: { embedding: jax.Array; out: jax.Array }, tokens: jax.Array) => jax.valueAndGrad(loss)(p, tokens),
      [params, tokens],
      { outputNames: ["loss", "embedding_gradient", "out_gradient"] },
    );
    const [value, gradient] = await program.run(params, tokens);
    const found = await loadAndRun(program.toOnnx(), [params.embedding, params.out, tokens]);
    expect(found.inputNames).toEqual(["embedding", "out", "in2"]);
    expect(found.outputNames).toEqual(["loss", "embedding_gradient", "out_gradient"]);
    const types = (list: readonly web.InferenceSession.ValueMetadata[]) =>
      list.map((port) => (port.isTensor ? [port.type, [...port.shape]] : null));
    expect(types(found.inputMetadata)).toEqual([
      ["float32", [7, 8]],
      ["float32", [8, 7]],
      ["int32", [2, 3]],
    ]);
    expect(types(found.outputMetadata)).toEqual([
      ["float32", []],
      ["float32", [7, 8]],
      ["float32", [8, 7]],
    ]);
    const [webLoss, webEmbedding, webOut] = found.outputs.map(({ data }) => data as Float32Array);
    expect(difference(value.data, webLoss)).toBeLessThan(1e-6);
    expect(difference(gradient.embedding.data, webEmbedding)).toBeLessThan(1e-6);
    expect(difference(gradient.out.data, webOut)).toBeLessThan(1e-6);
    await program.dispose();
  });

  it("loads for random programs, and gives what the engine gives (40 programs)", async () => {
    // Of the types that onnxruntime-web takes and gives as numbers.
    const isPlain = ({ dtype }: { dtype: string }) => ["float32", "int32", "bool"].includes(dtype);
    const programs = genomes(2, 10)
      .filter(({ sources }) => sources.every(isPlain))
      .map((genome) => withFloat16Array(() => new RandomProgram(genome, 10)));
    await fc.assert(
      fc.asyncProperty(programs, async (random) => {
        const args = random.arguments.map(
          ({ data, dtype, shape }) =>
            new Tensor(dtype === "bool" ? Uint8Array.from(data) : (data as Float32Array), shape),
        );
        const captured = random.captured.map(toJax);
        const program = await compile((...inputs: jax.Array[]) => random.apply(inputs, captured), args);
        for (const array of captured) array.dispose();
        const here = await program.run(...args);
        const { outputs } = await loadAndRun(program.toOnnx(), args);
        await program.dispose();
        here.forEach((tensor, i) => {
          if (!isPlain(tensor)) return;
          expect(outputs[i].type).toBe(tensor.dtype);
          const scale = Math.max(1, ...Array.from(tensor.data, (x) => Math.abs(x) || 0));
          const other = Array.from(outputs[i].data as Float32Array, (x) => Number(x) / scale);
          expect(
            difference(
              Array.from(tensor.data, (x) => x / scale),
              other,
            ),
          ).toBeLessThan(1e-4);
        });
      }),
      { numRuns: 40 },
    );
  });
});
