import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Atom, Aval, Equation, Traced } from "../trace.js";
import { dot } from "./dot.js";
import { add, cast, elementwise, isSafeScale, multiply, rescaled, unscaled } from "./elementwise.js";
import { Graph, type Value } from "./graph.js";
import { type GatherParameters, gather, type ScatterParameters, scatter, sort } from "./indexing.js";
import { type LayoutCost, layoutCosts } from "./layout.js";
import { concatenate, flip, pad, shrink, split } from "./movement.js";
import { reduce } from "./reduce.js";
import {
  broadcastView,
  mergeNeighbours,
  product,
  reshapeView,
  shapeOf,
  transposeView,
  type View,
} from "./view.js";

export interface Lowered {
  graph: Graph;
  inputs: Value[];
  /** Names of dense tensors, one for each leaf of the result. */
  outputs: { name: string; dtype: OnnxDType; shape: readonly number[] }[];
  /** Multiply-and-add operations of the matrix products, to choose the number of threads by. */
  multiplyAdds: number;
}

/** Lowers a traced program to an ONNX graph. Throws UnsupportedPrimitiveError for what has no lowering. */
export function lower(traced: Traced): Lowered {
  const graph = new Graph();
  const values = new Map<Atom, Value>();
  const { jaxpr, constants } = traced;

  const inputs: Value[] = [];
  jaxpr.inBinders.forEach((variable, i) => {
    const dtype = supported(variable.aval);
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
    return graph.scalar(supported(atom.aval), Number(atom.value));
  };

  const rules = { ...commonRules, dot: productRule(layoutCosts(jaxpr)) };
  for (const equation of jaxpr.eqns) {
    for (const variable of equation.outBinders) supported(variable.aval, equation.primitive);
    const rule: Rule | undefined = rules[equation.primitive as keyof typeof rules];
    if (!rule) throw new UnsupportedPrimitiveError(equation.primitive);
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

function multiplyAdds(equations: readonly Equation[]): number {
  return equations.reduce((total, { primitive, inputs, outBinders }) => {
    if (primitive !== "dot") return total;
    return (
      total + product(outBinders[0].aval.shape) * Math.max(...inputs.map((x) => x.aval.shape.at(-1) ?? 1))
    );
  }, 0);
}

function supported(aval: Aval, primitive?: string): OnnxDType {
  const by = primitive ? `${primitive} ` : "";
  if (aval.dtype !== "float32" && aval.dtype !== "int32" && aval.dtype !== "bool") {
    throw new UnsupportedPrimitiveError(`${by}with element type ${aval.dtype}`);
  }
  if (aval.shape.includes(0))
    throw new UnsupportedPrimitiveError(`${by}on an empty array of shape [${aval.shape}]`);
  return aval.dtype;
}

/** jax-js keeps booleans as 32-bit integers; ONNX keeps them as bytes. */
function asBytes({ data }: { data: ArrayBufferView }, dtype: OnnxDType): ArrayBufferView {
  return dtype === "bool" ? Uint8Array.from(data as unknown as ArrayLike<number>, (x) => (x ? 1 : 0)) : data;
}

type Rule = (graph: Graph, operands: Value[], equation: Equation) => Value[];

const shapeOut = (equation: Equation) => equation.outBinders[0].aval.shape;
const dtypeOut = (equation: Equation) => equation.outBinders[0].aval.dtype as OnnxDType;

/** An element-wise operator on operands of the result's type. */
const pointwise =
  (op: string, attributes: Record<string, number> = {}): Rule =>
  (graph, operands, equation) => {
    const dtype = dtypeOut(equation);
    const same = operands.map((operand) => cast(graph, operand, dtype));
    return [elementwise(graph, op, same, shapeOut(equation), dtype, attributes)];
  };

/** Rules that take operands whose scale is still to be multiplied in. */
const scaleAware = new Set<Rule>();
const aware = (rule: Rule): Rule => {
  scaleAware.add(rule);
  return rule;
};

/** A rule that is linear in its first operand, so that the scale of that passes to the results. */
const linear = (rule: Rule): Rule =>
  aware((graph, [operand, ...others], equation) =>
    rule(graph, [unscaled(operand), ...others], equation).map((result) =>
      rescaled(result, operand.scale ?? 1),
    ),
  );

/** Integers and booleans take one rule, floats another. */
const byType = (rulesByType: { float32: Rule; int32: Rule; bool?: Rule }): Rule =>
  aware((graph, operands, equation) => {
    const rule = rulesByType[dtypeOut(equation) as "float32" | "int32" | "bool"];
    if (!rule)
      throw new UnsupportedPrimitiveError(`${equation.primitive} with element type ${dtypeOut(equation)}`);
    return rule(graph, scaleAware.has(rule) ? operands : operands.map((x) => graph.settle(x)), equation);
  });

const identity: Rule = linear((_, [operand]) => [operand]);

/** Casts both operands, then hands them to a binary rule of the element-wise module. */
const binary = (combine: typeof add): Rule =>
  aware((graph, operands, equation) => {
    const dtype = dtypeOut(equation);
    const [a, b] = operands.map((operand) =>
      operand.dtype === dtype ? operand : cast(graph, operand, dtype),
    );
    return [combine(graph, a, b, shapeOut(equation), dtype)];
  });

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
const productRule = (cost: LayoutCost): Rule =>
  aware((graph, [x, y], equation) => {
    const dtype = dtypeOut(equation);
    if (dtype === "bool") throw new UnsupportedPrimitiveError("dot with element type bool");
    const scale = (x.scale ?? 1) * (y.scale ?? 1);
    const [a, b] = isSafeScale(scale) ? [unscaled(x), unscaled(y)] : [graph.settle(x), graph.settle(y)];
    const layoutCost = (view: View) => cost(equation.outBinders[0], mergeNeighbours(view));
    const product = dot(graph, cast(graph, a, dtype), cast(graph, b, dtype), shapeOut(equation), layoutCost);
    return [isSafeScale(scale) ? rescaled(product, scale) : product];
  });

const commonRules: Record<string, Rule> = {
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

/** The primitives that have a lowering. */
export const loweredPrimitives: readonly string[] = [...Object.keys(commonRules), "dot"];
