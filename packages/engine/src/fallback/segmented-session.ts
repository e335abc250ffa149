import * as ort from "onnxruntime-node";
import { halfBits, halfValues } from "../float16.js";
import { type Lowered, lower } from "../lower/lower.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Atom, Constant, Equation, Literal, Traced, Variable } from "../trace.js";
import { type Held, JaxSegment } from "./jax-segment.js";
import { cut, isVariable, type Segment } from "./segments.js";

/** What a program needs of an ONNX Runtime session. */
export interface Session {
  run(
    feeds: Readonly<Record<string, ort.Tensor>>,
    fetches: Readonly<Record<string, ort.Tensor | null>>,
  ): Promise<Readonly<Record<string, ort.Tensor>>>;
  release(): Promise<void>;
}

/** Makes a session of a lowered segment, with inputs named in0, in1, ... and outputs named out0, out1, ... */
export type SessionMaker = (lowered: Lowered) => Promise<Session>;

interface Part extends Pick<Segment, "inputs"> {
  readonly outputs: readonly Variable[];
  /** Writes into the given tensors where it can. */
  run(values: readonly Held[], into: readonly (ort.Tensor | undefined)[]): Promise<readonly Held[]>;
  release(): Promise<void>;
}

/**
 * A program of which some equations run on jax-js, behind the same two methods as an ONNX Runtime session. Its inputs
 * are named in0, in1, ..., its outputs out0, out1, ...
 */
export class SegmentedSession implements Session {
  private readonly running = new Set<Promise<unknown>>();

  private constructor(
    private readonly given: readonly Variable[],
    private readonly constants: ReadonlyMap<Variable, Held>,
    private readonly parts: readonly Part[],
    private readonly results: readonly Atom[],
  ) {}

  static async create(
    { jaxpr, constants }: Pick<Traced, "jaxpr" | "constants">,
    isLowered: (equation: Equation) => boolean,
    makeSession: SessionMaker,
  ): Promise<SegmentedSession> {
    const parts: Part[] = [];
    try {
      for (const segment of cut({ jaxpr, constants }, isLowered)) {
        parts.push(await (segment.executor === "onnx" ? onnxPart(segment, makeSession) : jaxPart(segment)));
      }
    } catch (error) {
      await Promise.all(parts.map((part) => part.release()));
      throw error;
    }
    return new SegmentedSession(
      jaxpr.inBinders.slice(constants.length),
      new Map(constants.map((constant, i) => [jaxpr.inBinders[i], fromTrace(constant)])),
      parts,
      jaxpr.outs,
    );
  }

  get outputs(): { name: string; dtype: OnnxDType; shape: readonly number[] }[] {
    return this.results.map(({ aval }, i) => ({
      name: `out${i}`,
      dtype: aval.dtype as OnnxDType,
      shape: aval.shape,
    }));
  }

  async run(
    feeds: Readonly<Record<string, ort.Tensor>>,
    fetches: Readonly<Record<string, ort.Tensor | null>>,
  ): Promise<Record<string, ort.Tensor>> {
    const run = this.runParts(feeds, fetches);
    this.running.add(run);
    try {
      return await run;
    } finally {
      this.running.delete(run);
    }
  }

  private async runParts(
    feeds: Readonly<Record<string, ort.Tensor>>,
    fetches: Readonly<Record<string, ort.Tensor | null>>,
  ): Promise<Record<string, ort.Tensor>> {
    const values = new Map<Variable, Held>(this.constants);
    this.given.forEach((variable, i) => {
      values.set(variable, fromOrt(feeds[`in${i}`]));
    });
    const preallocated = new Map<Variable, ort.Tensor>();
    this.results.forEach((atom, i) => {
      const tensor = fetches[`out${i}`];
      if (tensor && isVariable(atom) && !preallocated.has(atom)) preallocated.set(atom, tensor);
    });
    for (const part of this.parts) {
      const made = await part.run(
        part.inputs.map((variable) => values.get(variable) as Held),
        part.outputs.map((variable) => preallocated.get(variable)),
      );
      part.outputs.forEach((variable, i) => {
        values.set(variable, made[i]);
      });
    }

    // No two results share memory with each other or with what was given.
    const taken = new Set<unknown>(Object.values(feeds).map(({ data }) => data));
    for (const constant of this.constants.values()) taken.add(constant.data);
    const results: Record<string, ort.Tensor> = {};
    this.results.forEach((atom, i) => {
      const { dtype, shape, data } = isVariable(atom) ? (values.get(atom) as Held) : literal(atom);
      const into = fetches[`out${i}`];
      if (into) {
        if (into.data !== data)
          (into.data as Float32Array).set(toOrt({ dtype, shape, data }).data as Float32Array);
        results[`out${i}`] = into;
      } else {
        const own = taken.has(data) ? (data as Float32Array).slice() : data;
        taken.add(own);
        results[`out${i}`] = toOrt({ dtype, shape, data: own });
      }
    });
    return results;
  }

  async release(): Promise<void> {
    await Promise.allSettled(this.running);
    await Promise.all(this.parts.map((part) => part.release()));
  }
}

async function onnxPart({ jaxpr, constants, inputs }: Segment, makeSession: SessionMaker): Promise<Part> {
  const session = await makeSession(lower({ jaxpr, constants }));
  return {
    inputs,
    outputs: jaxpr.outs as Variable[],
    async run(values, into) {
      const results = await session.run(
        Object.fromEntries(values.map((value, i) => [`in${i}`, toOrt(value)])),
        Object.fromEntries(into.map((tensor, i) => [`out${i}`, tensor ?? null])),
      );
      return into.map((_, i) => fromOrt(results[`out${i}`]));
    },
    release: () => session.release(),
  };
}

async function jaxPart({ jaxpr, constants, inputs }: Segment): Promise<Part> {
  const segment = await JaxSegment.create(jaxpr, constants.map(fromTrace));
  return {
    inputs,
    outputs: jaxpr.outs as Variable[],
    run: async (values) => segment.run(values),
    release: async () => segment.dispose(),
  };
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Float32Array,
  int32: Int32Array,
  uint32: Uint32Array,
  bool: Uint8Array,
};

const literal = ({ value, aval }: Literal): Held => ({
  dtype: aval.dtype,
  shape: [],
  data: arrays[aval.dtype as keyof typeof arrays].of(Number(value)),
});

/** The tracer hands over booleans as jax-js keeps them, as 32-bit integers. */
const fromTrace = ({ dtype, shape, data }: Constant): Held => ({
  dtype,
  shape,
  data: dtype === "bool" ? Uint8Array.from(data as Int32Array, (x) => (x ? 1 : 0)) : data,
});

/** ONNX Runtime takes and gives float16 numbers as their bits. */
const toOrt = ({ dtype, shape, data }: Held): ort.Tensor =>
  new ort.Tensor(
    dtype as "float32",
    (dtype === "float16" ? halfBits(data as Float32Array) : data) as Float32Array,
    shape,
  );

const fromOrt = ({ type, dims, data }: ort.Tensor): Held => ({
  dtype: type,
  shape: dims,
  data: (type === "float16" ? halfValues(data as Uint16Array) : data) as Float32Array,
});
