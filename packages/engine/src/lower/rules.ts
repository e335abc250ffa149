import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Equation } from "../trace.js";
import { dot } from "./dot.js";
import { add, cast, elementwise, isSafeScale, multiply, rescaled, unscaled } from "./elementwise.js";
import type { Value } from "./graph.js";
import { type GatherParameters, gather, type ScatterParameters, scatter, sort } from "./indexing.js";
import type { LayoutCost } from "./layout.js";
import { concatenate, flip, pad, shrink, split } from "./movement.js";
import { reduce } from "./reduce.js";
import { aware, binary, byType, dtypeOut, identity, linear, pointwise, type Rule, shapeOut } from "./rule.js";
import { broadcastView, mergeNeighbours, reshapeView, shapeOf, transposeView, type View } from "./view.js";

const lattice = ["bool", "uint32", "int32", "float16", "float32", "float64"];

/** The common type in which jax-js compares two operands: a weakly typed one follows the other. */
function comparedIn(equation: Equation): OnnxDType {
  const [a, b] = equation.inputs.map((input) => input.aval);
  if (a.weakType !== b.weakType && (a.weakType ? b : a).dtype !== "bool")
    return (a.weakType ? b : a).dtype as OnnxDType;
  return (lattice.indexOf(a.dtype) >= lattice.indexOf(b.dtype) ? a.dtype : b.dtype) as OnnxDType;
}

const compare: Rule = (graph, operands, equation) => {
  const op = equation.params.op as string;
  const shape = shapeOut(equation);
  let dtype = comparedIn(equation);
  if (dtype === "bool" && (op === "less" || op === "less_equal")) dtype = "int32";
  const same = operands.map((operand) => cast(graph, operand, dtype));
  if (op === "less") return [elementwise(graph, "Less", same, shape, "bool")];
  if (op === "less_equal") return [elementwise(graph, "LessOrEqual", same, shape, "bool")];
  const equal = elementwise(graph, "Equal", same, shape, "bool");
  return [op === "equal" ? equal : elementwise(graph, "Not", [equal], shape, "bool")];
};

const where: Rule = (graph, [condition, yes, no], equation) => {
  const dtype = dtypeOut(equation);
  const chosen = dtype === "bool" ? "uint8" : dtype; // ONNX Runtime has no Where of booleans
  const operands = [condition, ...[yes, no].map((value) => cast(graph, cast(graph, value, dtype), chosen))];
  return [cast(graph, elementwise(graph, "Where", operands, shapeOut(equation), chosen), dtype)];
};

/** Division that rounds towards zero. Integer division in ONNX already does. */
const truncatedQuotient: Rule = (graph, operands, equation) => {
  const shape = shapeOut(equation);
  const [quotient] = pointwise("Div")(graph, operands, equation);
  const negative = elementwise(graph, "Less", [quotient, graph.scalar("float32", 0)], shape, "bool");
  const up = elementwise(graph, "Ceil", [quotient], shape, "float32");
  const down = elementwise(graph, "Floor", [quotient], shape, "float32");
  return [elementwise(graph, "Where", [negative, up, down], shape, "float32")];
};

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
    if (dtype === "bool") throw new UnsupportedPrimitiveError("dot with element type bool");
    const scale = (x.scale ?? 1) * (y.scale ?? 1);
    const [a, b] = isSafeScale(scale) ? [unscaled(x), unscaled(y)] : [graph.settle(x), graph.settle(y)];
    const layoutCost = (view: View) => cost(equation.outBinders[0], mergeNeighbours(view));
    const product = dot(graph, cast(graph, a, dtype), cast(graph, b, dtype), shapeOut(equation), layoutCost);
    return [isSafeScale(scale) ? rescaled(product, scale) : product];
  });

/** Rules by primitive. What a family of primitives shares stands in a module of its own and is listed here. */
export const commonRules: Record<string, Rule> = {
  add: byType({ float32: binary(add), int32: binary(add), bool: pointwise("Or") }),
  mul: byType({ float32: binary(multiply), int32: pointwise("Mul"), bool: pointwise("And") }),
  idiv: byType({ float32: truncatedQuotient, int32: pointwise("Div") }),
  mod: byType({ float32: pointwise("Mod", { fmod: 1 }), int32: pointwise("Mod", { fmod: 1 }) }),
  min: byType({ float32: pointwise("Min"), int32: pointwise("Min"), bool: pointwise("And") }),
  max: byType({ float32: pointwise("Max"), int32: pointwise("Max"), bool: pointwise("Or") }),
  neg: byType({
    float32: aware((_, [operand]) => [rescaled(operand, -(operand.scale ?? 1))]),
    int32: pointwise("Neg"),
  }),
  reciprocal: aware((graph, [operand], equation) => {
    const [result] = pointwise("Reciprocal")(graph, [unscaled(operand)], equation);
    return [rescaled(result, 1 / (operand.scale ?? 1))];
  }),
  floor: byType({ float32: pointwise("Floor"), int32: identity }),
  ceil: byType({ float32: pointwise("Ceil"), int32: identity }),
  sin: pointwise("Sin"),
  cos: pointwise("Cos"),
  asin: pointwise("Asin"),
  atan: pointwise("Atan"),
  exp: pointwise("Exp"),
  log: pointwise("Log"),
  sqrt: pointwise("Sqrt"),
  erf: pointwise("Erf"),
  erfc: (graph, operands, equation) => {
    const [erf] = pointwise("Erf")(graph, operands, equation);
    return [elementwise(graph, "Sub", [graph.scalar("float32", 1), erf], shapeOut(equation), "float32")];
  },
  stop_gradient: identity,
  cast: (graph, [operand], equation) => [cast(graph, operand, dtypeOut(equation))],
  compare,
  where,
  reduce: aware((graph, operands, equation) => {
    const op = equation.params.op as string;
    const rule: Rule = (_, [operand]) => [reduce(graph, operand, op, equation.params.axis as number[])];
    return op === "Add"
      ? linear(rule)(graph, operands, equation)
      : rule(
          graph,
          operands.map((x) => graph.settle(x)),
          equation,
        );
  }),
  transpose: linear((_, [operand], { params }) => [
    { ...operand, view: transposeView(operand.view, params.perm as number[]) },
  ]),
  broadcast: linear((_, [operand], { params }) => [
    { ...operand, view: broadcastView(operand.view, params.shape as number[], params.axis as number[]) },
  ]),
  reshape,
  split: linear((graph, [operand], { params }) =>
    split(graph, operand, params.axis as number, params.sizes as number[]),
  ),
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
  sort: (graph, [operand]) => [sort(graph, operand).values],
  argsort: (graph, [operand]) => {
    const { values, indices } = sort(graph, operand);
    return [values, indices];
  },
};

/** NumPy's broadcast of the shapes of index arrays. */
function indexShapeOf(indices: readonly Value[]): number[] {
  const shapes = indices.map((index) => shapeOf(index.view));
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) =>
    Math.max(...shapes.map((shape) => shape[shape.length - rank + i] ?? 1)),
  );
}
