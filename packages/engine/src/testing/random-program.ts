import * as jax from "@jax-js/jax";
import fc from "fast-check";
import type { DType } from "../tensor.js";
import { Draws, js, type Line, type Slot, size } from "./operations/operation.js";
import { makers, often } from "./operations/operations.js";

const { numpy: np } = jax;

/** An argument of a program, or a constant that it captures. */
export interface Source extends Slot {
  readonly dtype: DType;
  /** Booleans as 0 and 1. */
  readonly data: Float32Array | Float64Array | Int32Array | Uint32Array;
}

interface SourceGenome {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly seed: number;
  readonly captured: boolean;
  /** Whether vmap of the program maps over it. */
  readonly mapped: boolean;
}

/** A program before its details are settled, which depend on the shapes that come about. */
export interface Genome {
  readonly sources: readonly SourceGenome[];
  readonly steps: readonly (readonly [string, readonly number[]])[];
}

export const genomes = (minOperations: number, maxOperations: number): fc.Arbitrary<Genome> =>
  fc.record({
    sources: fc
      .array(
        fc.record({
          dtype: fc.constantFrom<DType>(
            "float32",
            "float32",
            "float32",
            "float32",
            "int32",
            "int32",
            "bool",
            "uint32",
            "float64",
          ),
          shape: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
          seed: fc.nat(9999),
          captured: fc.nat(4).map((n) => n === 4),
          mapped: fc.boolean(),
        }),
        { minLength: 0, maxLength: 4 },
      )
      // The first argument is one that gradients can be taken of.
      .chain((rest) =>
        fc
          .array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 })
          .map((shape) => [
            { dtype: "float32" as const, shape, seed: 1, captured: false, mapped: shape.length % 3 < 2 },
            ...rest,
          ]),
      ),
    steps: fc.array(
      fc.tuple(fc.constantFrom(...Object.keys(makers), ...often), fc.array(fc.nat(9999), { maxLength: 12 })),
      // Steps that do not fit are left out, so more are drawn than are wanted.
      { minLength: minOperations, maxLength: Math.ceil(1.3 * maxOperations) },
    ),
  });

/** Numbers of a type; floats and integers near 0, unsigned integers of any size. */
export function numbers(count: number, dtype: DType, seed: number): Source["data"] {
  let state = seed * 2654435761 + 12345;
  const next = () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
  if (dtype === "float32") return Float32Array.from({ length: count }, () => 4 * next() - 2);
  if (dtype === "float64") return Float64Array.from({ length: count }, () => 4 * next() - 2);
  if (dtype === "uint32") {
    return Uint32Array.from({ length: count }, () => next() * (next() < 0.5 ? 9 : 2 ** 32));
  }
  return Int32Array.from({ length: count }, () =>
    dtype === "int32" ? Math.floor(9 * next()) - 4 : Number(next() < 0.5),
  );
}

export class RandomProgram {
  readonly lines: Line[] = [];
  /** The kind of operation on each line. */
  readonly kinds: string[] = [];
  readonly sources: readonly (Source & SourceGenome)[];
  /** The slots of each line's results; the sources come first. */
  private readonly results: number[] = [];

  /** Settles the details by running the program, eagerly, line by line. */
  constructor(
    genome: Genome,
    readonly maxOperations: number,
  ) {
    this.sources = genome.sources.map((source) => ({
      ...source,
      // jax-js computes with constant scalars in float64, in which products of unsigned integers lose their last bits.
      captured: source.captured && source.dtype !== "uint32",
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
  get arguments(): readonly (Source & { mapped: boolean })[] {
    return this.sources.filter((source) => !source.captured);
  }

  /** The same arguments with other numbers in those that vmap maps over. */
  get otherArguments(): readonly Source[] {
    return this.sources
      .filter((source) => !source.captured)
      .map((source) =>
        source.mapped
          ? { ...source, data: numbers(size(source.shape), source.dtype, source.seed + 1) }
          : source,
      );
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

  /**
   * A scalar that depends on every result, with a weight of its own for each element: of those of float64, or of all
   * others. jax-js has no gradient of a conversion from float to float, and mixes up the two in gradients of both.
   */
  loss(args: readonly jax.Array[], captured: readonly jax.Array[], dtype: jax.DType): jax.Array {
    return this.apply(args, captured).reduce<jax.Array>(
      (total, result) => {
        if ((result.dtype === "float64") !== (dtype === "float64")) {
          result.dispose();
          return total;
        }
        // Unsigned integers are hashes more often than numbers.
        const small =
          result.dtype === "uint32" ? result.mod(np.array(64, { dtype: jax.DType.Uint32 })) : result;
        const weights = Array.from({ length: result.size }, (_, i) => Math.cos(i));
        return total.add(np.array(weights, { dtype, shape: result.shape }).mul(small.astype(dtype)).sum());
      },
      np.zeros([], { dtype }),
    );
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

/**
 * In memory: jax-js keeps an array of equal elements as a number and computes with that in float64, in which products
 * of unsigned integers lose their last bits.
 */
export function toJax({ data, dtype, shape }: Source): jax.Array {
  const array = np.array(data, { dtype: dtype as jax.DType, shape: [...shape] });
  (array as unknown as { _realizeSource(): void })._realizeSource();
  return array;
}

/** Small enough to compare element by element, and far from the ends of the number formats. */
function isTame(array: jax.Array): boolean {
  if (array.size > 512) return false;
  if (array.dtype === "uint32") return true;
  return Array.from<number>(array.ref.dataSync()).every((x) => Math.abs(x) < 100);
}
