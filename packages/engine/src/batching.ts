import * as jax from "@jax-js/jax";

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

let prototype: BatchTrace | undefined;

/**
 * Runs `body` with a vmap that broadcasts along new axes. That of jax-js 0.1.25 says that the mapped axis stays where
 * it was, though new axes may have come in before it: vmap of a cumulative sum over the last axis fails, or mixes up
 * axes that happen to have the same length. With the mapped axis first there is nothing before it.
 */
export function withRightBroadcasts<Result>(body: () => Result): Result {
  prototype ??= batchTracePrototype();
  const patched = prototype;
  const original = patched.processPrimitive;
  patched.processPrimitive = function (this: BatchTrace, primitive, tracers, params) {
    return original.call(
      this,
      primitive,
      primitive === "broadcast" ? tracers.map(batchAxisFirst) : tracers,
      params,
    );
  };
  try {
    return body();
  } finally {
    patched.processPrimitive = original;
  }
}
