import * as jax from "@jax-js/jax";
import { TracingError, UnsupportedPrimitiveError } from "./errors.js";
import { type Lowered, lower } from "./lower/lower.js";
import { framesFromUserLine, isThrownByJaxJs, userLine, withLongStacks } from "./source-line.js";
import { namedLeaves, Tensor } from "./tensor.js";
import { type Equation, type Traced, trace } from "./trace.js";

type TracedFunction = (...args: never[]) => unknown;

/**
 * Traces a function. What jax-js itself throws, e.g. of shapes that do not fit, becomes an error that begins with the
 * user's line and the arguments; what the function throws is left as it is.
 */
export async function traceProgram(
  name: string,
  fn: TracedFunction,
  args: readonly unknown[],
): Promise<Traced> {
  try {
    return await trace((...tracers) => withLongStacks(() => fn(...tracers)), args);
  } catch (error) {
    if (!isThrownByJaxJs(error)) throw error;
    const line = userLine(error.stack);
    throw withFramesOf(error, new TracingError(name, error.message, line, describeArguments(args), error));
  }
}

/** Lowers a traced function. What cannot be lowered is refused with the line of the function that uses it. */
export async function lowerProgram(
  name: string,
  fn: TracedFunction,
  args: readonly unknown[],
  traced: Traced,
  channelBlock: number,
): Promise<Lowered> {
  const progress: { equation?: Equation } = {};
  try {
    return lower(traced, channelBlock, progress);
  } catch (error) {
    if (!(error instanceof UnsupportedPrimitiveError)) throw error;
    // Lowering may put other equations in the place of those that were traced, but with the same results.
    const variable = progress.equation?.outBinders[0];
    const index = traced.jaxpr.eqns.findIndex(({ outBinders }) => variable && outBinders.includes(variable));
    const stack = index < 0 ? undefined : await stackOfEquation(fn, args, index, error.what);
    throw withFramesOf({ stack }, new UnsupportedPrimitiveError(error.what, name, userLine(stack)));
  }
}

/** The arguments in words: `0.w: float32[3,4], 1: int32[5]`. */
function describeArguments(args: readonly unknown[]): string {
  const leaves = namedLeaves<Tensor>(args as never, (node): node is Tensor => node instanceof Tensor);
  const shown = leaves.slice(0, 12).map(([path, { dtype, shape }]) => `${path}: ${dtype}[${shape}]`);
  const more = leaves.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? `, and ${more} more` : ""}`;
}

/** The error with the stack of another from the user's line on, so that this is the first that one sees. */
function withFramesOf<E extends Error>(origin: { stack?: string }, error: E): E {
  const frames = framesFromUserLine(origin.stack);
  if (frames.length > 0) error.stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
  return error;
}

interface JaxprTrace {
  processPrimitive(primitive: string, tracers: unknown[], params: object): unknown[];
}

/** The prototype of what jax-js records traced operations with. */
function jaxprTrace(): JaxprTrace {
  let found: JaxprTrace | undefined;
  jax.makeJaxpr((x: jax.Array) => {
    found = Object.getPrototypeOf((x as unknown as { _trace: JaxprTrace })._trace) as JaxprTrace;
    return x;
  })(jax.numpy.zeros([]));
  return found as JaxprTrace;
}

/**
 * The stack in which the equation with an index was recorded. Equations do not carry it, and to note it for each would
 * slow every compilation down, so the function is traced once more. An equation keeps its parameter object through
 * all of jax-js's transformations; this is what tells it.
 */
async function stackOfEquation(
  fn: TracedFunction,
  args: readonly unknown[],
  index: number,
  what: string,
): Promise<string | undefined> {
  const stacks = new WeakMap<object, string>();
  const note = (params: object, stack: string) => {
    if (!stacks.has(params)) stacks.set(params, stack);
    // What a jitted function does was recorded when it was first traced; the line that counts is the one that calls it.
    const { jaxpr } = params as { jaxpr?: { eqns: readonly Equation[] } };
    for (const equation of jaxpr?.eqns ?? []) note(equation.params, stack);
  };
  const prototype = jaxprTrace();
  const process = prototype.processPrimitive;
  try {
    const traced = await trace((...tracers) => {
      prototype.processPrimitive = function (this: JaxprTrace, primitive, operands, params) {
        note(params, new Error().stack ?? "");
        return process.call(this, primitive, operands, params);
      };
      try {
        return withLongStacks(() => fn(...tracers));
      } finally {
        prototype.processPrimitive = process;
      }
    }, args);
    const equation = traced.jaxpr.eqns.at(index);
    return equation && what.startsWith(equation.primitive) ? stacks.get(equation.params) : undefined;
  } catch {
    return undefined; // it is not the function that it was a moment ago
  }
}
