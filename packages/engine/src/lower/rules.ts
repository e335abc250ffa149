import { bitRules } from "./bits.js";
import { promoted } from "./cast.js";
import { cumulativeRule } from "./cumulative.js";
import { divisionRules } from "./division.js";
import { dot } from "./dot.js";
import { add, cast, elementwise, isSafeScale, multiply, rescaled, unscaled } from "./elementwise.js";
import { emptyValue } from "./empty.js";
import { fourier } from "./fourier.js";
import { functionRules } from "./functions.js";
import type { Graph, Value } from "./graph.js";
import { type GatherParameters, gather, type ScatterParameters, scatter } from "./indexing.js";
import type { LayoutCost } from "./layout.js";
import { cholesky, lu, triangularSolve } from "./linear-algebra.js";
import { concatenate, flip, pad, shrink, split } from "./movement.js";
import { randomRules } from "./random.js";
import { reduce } from "./reduce.js";
import {
  applyRule,
  aware,
  binary,
  byType,
  dtypeOut,
  identity,
  linear,
  pointwise,
  type Rule,
  shapeOut,
  through,
} from "./rule.js";
import { sortingRules } from "./sorting.js";
import { broadcastView, mergeNeighbours, reshapeView, shapeOf, transposeView, type View } from "./view.js";

const compare: Rule = (graph, operands, equation) => {
  const op = equation.params.op as string;
  const shape = shapeOut(equation);
  const [a, b] = equation.inputs.map((input) => input.aval);
  let dtype = promoted(a, b);
  if (dtype === "bool" && (op === "less" || op === "less_equal")) dtype = "int32";
  const same = operands.map((operand) => cast(graph, operand, dtype));
  if (op === "less") return [elementwise(graph, "Less", same, shape, "bool")];
  if (op === "less_equal") return [elementwise(graph, "LessOrEqual", same, shape, "bool")];
  const equal = elementwise(graph, "Equal", same, shape, "bool");
  return [op === "equal" ? equal : elementwise(graph, "Not", [equal], shape, "bool")];
};

const where: Rule = (graph, [condition, yes, no], equation) => {
  const dtype = dtypeOut(equation);
  const kept = rectifierGradient(graph, condition, yes, no);
  if (kept) return [elementwise(graph, "Mul", kept, shapeOut(equation), dtype)];
  // ONNX Runtime has no Where of these two.
  const chosen = dtype === "bool" ? "uint8" : dtype === "uint32" ? "int32" : dtype;
  const operands = [condition, ...[yes, no].map((value) => cast(graph, cast(graph, value, dtype), chosen))];
  return [cast(graph, elementwise(graph, "Where", operands, shapeOut(equation), chosen), dtype)];
};

const reduction: Rule = aware((graph, operands, equation) => {
  const op = equation.params.op as string;
  const rule: Rule = (_, [operand]) => [reduce(graph, operand, op, equation.params.axis as number[])];
  return applyRule(op === "Add" ? linear(rule) : rule, graph, operands, equation);
});

/**
 * `where(x < y, 0, gradient)` beside `max(x, y)`, the gradient of ReLU, as a product of the gradient and a mask:
 * ONNX Runtime's Where takes three times as long. Only there, because 0 times infinity is not 0.
 */
function rectifierGradient(graph: Graph, condition: Value, yes: Value, no: Value): [Value, Value] | null {
  const test = graph.maker(condition.name);
  if (test?.op !== "Less" || graph.knownScalar(yes) !== 0 || no.dtype !== "float32") return null;
  const [x, bound] = test.inputs.map((name) => ({ ...no, name }));
  if (graph.knownScalar(bound) !== 0) return null;
  const operands = test.inputs.join();
  if (!graph.nodes.some(({ op, inputs }) => op === "Max" && inputs.join() === operands)) return null;
  // 0 below zero, 1 from there on, in one pass; a cast of the condition takes twice as long.
  const [mask] = graph.node("HardSigmoid", [x.name], [graph.shapeOf(x.name)], {
    alpha: { float: 3e38 },
    beta: { float: 1 },
  });
  return [{ ...condition, dtype: "float32", name: graph.reshape(mask, graph.shapeOf(condition.name)) }, no];
}

const reshape: Rule = linear((graph, [operand], { params }) => {
  const shape = params.shape as number[];
  const view = reshapeView(operand.view, shape);
  if (view) return [{ ...operand, view }];
  return [graph.value(graph.reshape(graph.dense(operand), shape), operand.dtype, shape)];
});

/** Products, laid out for what uses them. */
export const productRule = (cost: LayoutCost): Rule =>
  aware((graph, [x, y], equation) => {
    const dtype = dtypeOut(equation);
    // Whole numbers wrap around alike with and without a sign, and the or of ands is a sum of products above 0.
    if (dtype === "bool" || dtype === "uint32") {
      return through(dtype, "int32", productRule(cost))(graph, [x, y], equation);
    }
    const scale = (x.scale ?? 1) * (y.scale ?? 1);
    const [a, b] = isSafeScale(scale) ? [unscaled(x), unscaled(y)] : [graph.settle(x), graph.settle(y)];
    const layoutCost = (view: View) => cost(equation.outBinders[0], mergeNeighbours(view));
    const product = dot(graph, cast(graph, a, dtype), cast(graph, b, dtype), shapeOut(equation), layoutCost);
    if (!isSafeScale(scale)) return [product];
    const scaled = rescaled(product, scale);
    // ONNX Runtime folds a constant right after a product into the product: there it costs nothing.
    const free = Math.abs(scale) !== 1 && graph.maker(product.name)?.op === "MatMul";
    return [free ? graph.settle(scaled) : scaled];
  });

/** Rules by primitive. What a family of primitives shares stands in a module of its own and is listed here. */
export const commonRules: Record<string, Rule> = {
  ...bitRules,
  ...divisionRules,
  ...functionRules,
  ...randomRules,
  ...sortingRules,
  add: byType({ float32: binary(add), int32: binary(add), bool: pointwise("Or") }),
  mul: byType({ float32: binary(multiply), int32: pointwise("Mul"), bool: pointwise("And") }),
  min: byType({ float32: pointwise("Min"), int32: pointwise("Min"), bool: pointwise("And") }),
  max: byType({ float32: pointwise("Max"), int32: pointwise("Max"), bool: pointwise("Or") }),
  neg: byType({
    float32: aware((_, [operand]) => [rescaled(operand, -(operand.scale ?? 1))]),
    int32: pointwise("Neg"),
    uint32: (graph, [operand], equation) => [
      elementwise(graph, "Sub", [graph.scalar("uint32", 0), operand], shapeOut(equation), "uint32"),
    ],
  }),
  reciprocal: byType({
    float32: aware((graph, [operand], equation) => {
      const [result] = pointwise("Reciprocal")(graph, [unscaled(operand)], equation);
      return [rescaled(result, 1 / (operand.scale ?? 1))];
    }),
  }),
  floor: byType({ float32: pointwise("Floor"), int32: identity, bool: identity }),
  ceil: byType({ float32: pointwise("Ceil"), int32: identity, bool: identity }),
  stop_gradient: identity,
  cast: (graph, [operand], equation) => [cast(graph, operand, dtypeOut(equation))],
  compare,
  where,
  reduce: reduction,
  cumulative: cumulativeRule(reduction),
  transpose: linear((_, [operand], { params }) => [
    { ...operand, view: transposeView(operand.view, params.perm as number[]) },
  ]),
  broadcast: linear((_, [operand], { params }) => [
    { ...operand, view: broadcastView(operand.view, params.shape as number[], params.axis as number[]) },
  ]),
  reshape,
  split: linear((graph, [operand], { params, outBinders }) => {
    const parts = params.sizes as number[];
    const made = split(
      graph,
      operand,
      params.axis as number,
      parts.filter((size) => size > 0),
    );
    return parts.map((size, i) =>
      size > 0 ? (made.shift() as Value) : emptyValue(graph, outBinders[i].aval),
    );
  }),
  concatenate: (graph, operands, equation) => {
    const dtype = dtypeOut(equation);
    const same = operands.map((operand) => cast(graph, operand, dtype));
    return [concatenate(graph, same, equation.params.axis as number)];
  },
  shrink: linear((graph, [operand], { params }) => [
    shrink(graph, operand, params.slice as [number, number][]),
  ]),
  pad: linear((graph, [operand], { params }) => [pad(graph, operand, params.width as [number, number][])]),
  flip: linear((graph, [operand], { params }) => [flip(graph, operand, params.axis as number[])]),
  gather: linear((graph, [operand, ...indices], { params }) => [
    gather(graph, operand, indices, params as unknown as GatherParameters, indexShapeOf(indices)),
  ]),
  scatter: linear((graph, [updates, ...indices], { params }) => [
    scatter(graph, updates, indices, params as unknown as ScatterParameters, indexShapeOf(indices)),
  ]),
  cholesky: (graph, [operand]) => [cholesky(graph, operand)],
  lu: (graph, [operand]) => lu(graph, operand),
  triangular_solve: (graph, [a, b], { params }) => [
    triangularSolve(graph, a, b, params.unitDiagonal as boolean),
  ],
  fft: (graph, [real, imag], { params }) => fourier(graph, real, imag, params.inverse as boolean),
};

/** NumPy's broadcast of the shapes of index arrays. */
function indexShapeOf(indices: readonly Value[]): number[] {
  const shapes = indices.map((index) => shapeOf(index.view));
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) =>
    Math.max(...shapes.map((shape) => shape[shape.length - rank + i] ?? 1)),
  );
}
