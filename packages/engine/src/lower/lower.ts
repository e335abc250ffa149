import { UnsupportedPrimitiveError } from "../errors.js";
import { halfBits } from "../float16.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Atom, Equation, Traced } from "../trace.js";
import { convolutionRule } from "./convolution.js";
import { recogniseCumulative } from "./cumulative.js";
import { lowerEmpty } from "./empty.js";
import { fuse } from "./fuse/fuse.js";
import { fusedRules } from "./fuse/rules.js";
import { Graph, type Value } from "./graph.js";
import { layoutCosts } from "./layout.js";
import { poolingRules } from "./pooling.js";
import { type Rule, scaleAware, through } from "./rule.js";
import { commonRules, productRule } from "./rules.js";
import { mergeNeighbours, product } from "./view.js";

export interface Lowered {
  graph: Graph;
  inputs: Value[];
  /** Names of dense tensors, one for each leaf of the result. */
  outputs: { name: string; dtype: OnnxDType; shape: readonly number[] }[];
  /** Multiply-and-add operations of the matrix products, to choose the number of threads by. */
  multiplyAdds: number;
}

/**
 * Lowers a traced program to an ONNX graph. Throws UnsupportedPrimitiveError for what has no lowering; `progress` then
 * holds the equation that it came to.
 *
 * @param channelBlock see `convolutionRule`; 1 gives a graph of standard operators
 */
export function lower(
  traced: Pick<Traced, "jaxpr" | "constants">,
  channelBlock = 1,
  progress: { equation?: Equation } = {},
): Lowered {
  const graph = new Graph();
  const values = new Map<Atom, Value>();
  const { constants } = traced;
  const jaxpr = fuse(recogniseCumulative(traced));

  const inputs: Value[] = [];
  jaxpr.inBinders.forEach((variable, i) => {
    const dtype = dtypeOf(variable);
    if (i < constants.length) {
      values.set(variable, graph.constant(dtype, constants[i].shape, asBytes(constants[i], dtype)));
    } else {
      const input = graph.input(`in${i - constants.length}`, dtype, variable.aval.shape);
      inputs.push(input);
      values.set(variable, input);
    }
  });
  const read = (atom: Atom): Value => {
    if (!("value" in atom)) return values.get(atom) as Value;
    return graph.scalar(dtypeOf(atom), Number(atom.value));
  };

  const rules = {
    ...commonRules,
    ...fusedRules,
    dot: productRule(layoutCosts(jaxpr)),
    conv: convolutionRule(channelBlock),
    ...poolingRules(commonRules.reduce),
  };
  for (const equation of jaxpr.eqns) {
    progress.equation = equation;
    const found: Rule | undefined = rules[equation.primitive as keyof typeof rules];
    if (!found) throw new UnsupportedPrimitiveError(equation.primitive);
    const empty = lowerEmpty(graph, equation.inputs.map(read), equation);
    if (empty !== null) {
      equation.outBinders.forEach((variable, i) => {
        values.set(variable, empty[i]);
      });
      continue;
    }
    const rule = computesInHalf(equation) ? through("float16", "float32", found) : found;
    const operands = equation.inputs.map(read);
    const ready = scaleAware.has(rule) ? operands : operands.map((operand) => graph.settle(operand));
    const results = rule(graph, ready, equation);
    equation.outBinders.forEach((variable, i) => {
      values.set(variable, { ...results[i], view: mergeNeighbours(results[i].view) });
    });
  }

  const outputs = jaxpr.outs.map((atom) => ({
    name: graph.dense(read(atom)),
    dtype: read(atom).dtype,
    shape: atom.aval.shape,
  }));
  return { graph, inputs, outputs, multiplyAdds: multiplyAdds(jaxpr.eqns) };
}

const nonArithmetic = new Set(
  "cast bitcast transpose broadcast reshape split concatenate shrink pad flip gather".split(" "),
);

/**
 * ONNX Runtime has hardly any kernels of float16 on CPUs: what computes, and does not only move numbers about, is
 * computed in float32 and rounded to float16 once for each primitive, as jax-js's own backends do.
 */
const computesInHalf = ({ primitive, inputs, outBinders }: Equation): boolean =>
  !nonArithmetic.has(primitive) && [...inputs, ...outBinders].some(({ aval }) => aval.dtype === "float16");

/** Multiply-and-add operations of the products and convolutions of a program. */
export function multiplyAdds(equations: readonly Equation[]): number {
  return equations.reduce((total, { primitive, inputs, params, outBinders }) => {
    if (primitive === "conv") {
      const summed = inputs[1].aval.shape.slice((params.vmapDims as number) + 1);
      return total + product(outBinders[0].aval.shape) * product(summed);
    }
    if (primitive !== "dot") return total;
    return (
      total + product(outBinders[0].aval.shape) * Math.max(...inputs.map((x) => x.aval.shape.at(-1) ?? 1))
    );
  }, 0);
}

const dtypeOf = ({ aval }: Atom) => aval.dtype as OnnxDType;

/** jax-js keeps booleans as 32-bit integers; ONNX keeps them as bytes. The tracer reads float16 as float32. */
function asBytes({ data }: { data: ArrayBufferView }, dtype: OnnxDType): ArrayBufferView {
  if (dtype === "float16") return halfBits(data as Float32Array);
  return dtype === "bool" ? Uint8Array.from(data as unknown as ArrayLike<number>, (x) => (x ? 1 : 0)) : data;
}

/** The primitives that have a lowering. */
export const loweredPrimitives: readonly string[] = [
  ...Object.keys(commonRules),
  "dot",
  "conv",
  "pool",
  "pool_transpose",
].filter(
  (primitive) => primitive !== "cumulative", // this module's own
);
