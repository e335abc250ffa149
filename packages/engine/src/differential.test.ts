import * as jax from "@jax-js/jax";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { compile } from "./compile.js";
import { Tensor } from "./tensor.js";
import { genomes, RandomProgram, type Source, toJax } from "./testing/random-program.js";

// Random programs, run line by line by jax-js itself and compiled by this engine, must agree.

const PROGRAMS = Number(process.env.OUTGROW_PROGRAMS ?? 300);
const MAX_OPERATIONS = 12;
const SEED = process.env.OUTGROW_SEED;

beforeAll(() => {
  jax.defaultDevice("wasm"); // computes in float32 throughout, as the cpu backend does not
});

interface Outcome {
  results: number[][];
  value: number;
  gradients: number[][];
}

const isFloat = (source: Source) => source.dtype === "float32";

/** The results, a scalar of them and its gradient by the float arguments, as one function. */
function withGradient(program: RandomProgram, captured: readonly jax.Array[]) {
  return (...args: jax.Array[]) => {
    const loss = (...floats: jax.Array[]) => {
      const left = [...floats];
      return program.loss(
        args.map((argument, i) =>
          isFloat(program.arguments[i]) ? (left.shift() as jax.Array) : argument.ref,
        ),
        captured,
      );
    };
    const floats = args.filter((_, i) => isFloat(program.arguments[i])).map((argument) => argument.ref);
    const results = program.apply(
      args.map((argument) => argument.ref),
      captured,
    );
    const [value, gradients] = jax.valueAndGrad(loss, { argnums: floats.map((_, i) => i) })(...floats);
    for (const argument of args) argument.dispose();
    return { results, value, gradients: gradients as unknown as jax.Array[] };
  };
}

/** By jax-js itself, with its own counting of references. */
function eagerly(program: RandomProgram, sources: readonly Source[]): Outcome {
  const captured = program.captured.map(toJax);
  const { results, value, gradients } = withGradient(program, captured)(...sources.map(toJax));
  const read = (array: jax.Array) => Array.from<number>(array.dataSync());
  for (const array of captured) array.dispose();
  return { results: results.map(read), value: read(value)[0], gradients: gradients.map(read) };
}

const toTensor = ({ data, dtype, shape }: Source) =>
  new Tensor(dtype === "bool" ? Uint8Array.from(data) : (data as Float32Array), shape);

async function compiled(program: RandomProgram): Promise<Outcome> {
  const args = program.arguments.map(toTensor);
  const captured = program.captured.map(toJax);
  const executable = await compile(withGradient(program, captured), args as never, { name: "program" });
  for (const array of captured) array.dispose();
  const { results, value, gradients } = (await executable.run(...(args as never[]))) as unknown as {
    results: Tensor[];
    value: Tensor;
    gradients: Tensor[];
  };
  await executable.dispose();
  const read = (tensor: Tensor) => Array.from(tensor.data);
  return { results: results.map(read), value: value.item(), gradients: gradients.map(read) };
}

/** What jax-js gives; null where it cannot: some of its gradients divide integers as if they were floats. */
function whereDefined(program: RandomProgram): Outcome | null {
  try {
    return eagerly(program, program.arguments);
  } catch (error) {
    if (error instanceof TypeError && /Unsupported dtype for Reciprocal/.test(error.message)) return null;
    throw error;
  }
}

interface Disagreement {
  /** As a multiple of what is allowed. */
  excess: number;
  where: string;
}

/** The largest disagreement. */
function disagreement(a: Outcome, b: Outcome, relative: number, absolute: number): Disagreement {
  const largest = (list: number[]) => list.reduce((most, x) => Math.max(most, Math.abs(x) || 0), 1);
  const terms = a.results.flat().reduce((total, x) => total + (Math.abs(x) || 0), 1);
  // Sums of terms that cancel are as exact as their terms are large.
  const outputs: { name: string; x: number[]; y: number[]; scale: number }[] = [
    ...a.results.map((x, i) => ({ name: `result ${i}`, x, y: b.results[i], scale: largest(x) })),
    { name: "the scalar", x: [a.value], y: [b.value], scale: terms },
    ...a.gradients.map((x, i) => ({ name: `gradient ${i}`, x, y: b.gradients[i], scale: largest(x) })),
  ];
  let worst: Disagreement = { excess: 0, where: "nowhere" };
  for (const { name, x, y, scale } of outputs) {
    if (x.length !== y.length) return { excess: Infinity, where: `${name} has another size` };
    x.forEach((value, i) => {
      if (Object.is(value, y[i]) || value === y[i]) return;
      const allowed = absolute * scale + relative * Math.abs(value);
      const excess = Math.abs(value - y[i]) / allowed;
      if (!(excess <= worst.excess)) worst = { excess, where: `${name}[${i}]: ${value} against ${y[i]}` };
    });
  }
  return Number.isNaN(worst.excess) ? { ...worst, excess: Infinity } : worst;
}

/** Arguments that differ by little more than rounding. */
const nudged = (sources: readonly Source[]): Source[] =>
  sources.map((source, k) =>
    isFloat(source)
      ? { ...source, data: (source.data as Float32Array).map((x, i) => x + 1e-5 * Math.sin(7 * i + k + 1)) }
      : source,
  );

/** Whether rounding alone may change what comes out: near a step or a tie, or far outside the tame. */
function isDelicate(program: RandomProgram, reference: Outcome): boolean {
  const all = [...reference.results, ...reference.gradients, [reference.value]].flat();
  if (all.some((x) => Math.abs(x) > 1e4)) return true;
  return disagreement(reference, eagerly(program, nudged(program.arguments)), 1e-3, 1e-3).excess > 1;
}

describe("random programs", () => {
  it(
    `give what jax-js gives, with gradients (${PROGRAMS} programs)`,
    async () => {
      const counts = { compared: 0, delicate: 0, undefined: 0, lines: 0 };
      const used = new Map<string, number>();
      const programs = genomes(2, MAX_OPERATIONS).map((genome) => new RandomProgram(genome, MAX_OPERATIONS));
      await fc.assert(
        fc.asyncProperty(programs, async (program) => {
          const reference = whereDefined(program);
          if (reference === null) {
            counts.undefined++;
            return;
          }
          if (isDelicate(program, reference)) {
            counts.delicate++;
            return;
          }
          const outcome = await compiled(program);
          counts.compared++;
          counts.lines += program.lines.length;
          for (const kind of program.kinds) used.set(kind, (used.get(kind) ?? 0) + 1);
          const { excess, where } = disagreement(reference, outcome, 1e-4, 2e-5);
          if (excess > 1) throw new Error(`jax-js against compiled: ${where}`);
        }),
        { numRuns: PROGRAMS, ...(SEED ? { seed: Number(SEED) } : {}) },
      );
      if (process.env.OUTGROW_PROGRAMS) console.info(counts, Object.fromEntries(used));
      expect(counts.compared).toBeGreaterThan(0.7 * PROGRAMS);
    },
    60_000 + PROGRAMS * 1000,
  );
});
