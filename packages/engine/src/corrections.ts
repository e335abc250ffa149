import * as jax from "@jax-js/jax";
import type { Jaxpr, Literal } from "./trace.js";

/** The members of jax-js's tracers under vmap that are used here; its version is pinned. */
interface BatchTracer {
  readonly val: jax.Array;
  /** The axis of `val` that is mapped over; null where it is the same for all. */
  readonly batchDim: number | null;
  readonly _trace: BatchTrace;
}

interface BatchTrace {
  processPrimitive(primitive: string, tracers: BatchTracer[], params: unknown): BatchTracer[];
}

/** vmap's own class, which jax-js does not export: that of the trace of an array under vmap. */
function batchTracePrototype(): BatchTrace {
  let prototype: BatchTrace | undefined;
  jax
    .vmap((x: jax.Array) => {
      prototype = Object.getPrototypeOf((x as unknown as BatchTracer)._trace) as BatchTrace;
      return x;
    })(jax.numpy.ones([1]))
    .dispose();
  return prototype as BatchTrace;
}

function batchAxisFirst(tracer: BatchTracer): BatchTracer {
  if (tracer.batchDim === null || tracer.batchDim === 0) return tracer;
  const Tracer = tracer.constructor as new (...args: [BatchTrace, jax.Array, number]) => BatchTracer;
  return new Tracer(tracer._trace, jax.numpy.moveaxis(tracer.val, tracer.batchDim, 0), 0);
}

/** The class of the numbers in traced programs, which jax-js does not export. */
function literalPrototype(): object {
  const traced = jax.makeJaxpr((x: jax.Array) => x.mul(2))(jax.numpy.ones([1]));
  const { eqns } = traced.jaxpr.jaxpr as unknown as Jaxpr;
  return Object.getPrototypeOf(eqns[0].inputs.find((input) => "value" in input));
}

let prototypes: { batchTrace: BatchTrace; literal: object } | undefined;

/**
 * Runs `body` with two faults of jax-js 0.1.25 put right.
 *
 * vmap of a broadcast says that the mapped axis stays where it was, though new axes may have come in before it: vmap
 * of a cumulative sum over the last axis fails, or mixes up axes that happen to have the same length. That of a gather
 * counts the index arrays where it should count their axes. With the mapped axis first there is nothing before it.
 *
 * Under vmap and grad the numbers in a jitted function become strongly typed, so that integers times a number become
 * floats: vmap of random.randint is of float32, and not even whole. A number without a type is weakly typed again.
 */
export function withCorrections<Result>(body: () => Result): Result {
  prototypes ??= { batchTrace: batchTracePrototype(), literal: literalPrototype() };
  const { batchTrace, literal } = prototypes;
  const { processPrimitive } = batchTrace;
  const dtype = Object.getOwnPropertyDescriptor(literal, "dtype") as PropertyDescriptor;
  batchTrace.processPrimitive = function (this: BatchTrace, primitive, tracers, params) {
    const misplaced = primitive === "broadcast" || primitive === "gather";
    const placed = misplaced ? tracers.map(batchAxisFirst) : tracers;
    return processPrimitive.call(this, primitive, placed, params);
  };
  Object.defineProperty(literal, "dtype", {
    configurable: true,
    get(this: Literal) {
      return this.aval.weakType && this.aval.dtype === "float32" ? undefined : this.aval.dtype;
    },
  });
  try {
    return body();
  } finally {
    batchTrace.processPrimitive = processPrimitive;
    Object.defineProperty(literal, "dtype", dtype);
  }
}
