import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Atom, Equation } from "../trace.js";
import { type add, cast, elementwise, rescaled, unscaled } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";

/** Lowers one equation: from its operands' values to those of its results. */
export type Rule = (graph: Graph, operands: Value[], equation: Equation) => Value[];

export const shapeOut = (equation: Equation) => equation.outBinders[0].aval.shape;
export const dtypeOut = (equation: Equation) => equation.outBinders[0].aval.dtype as OnnxDType;

/** An element-wise operator on operands of the result's type. */
export const pointwise =
  (op: string, attributes: Record<string, number> = {}): Rule =>
  (graph, operands, equation) => {
    const dtype = dtypeOut(equation);
    const same = operands.map((operand) => cast(graph, operand, dtype));
    return [elementwise(graph, op, same, shapeOut(equation), dtype, attributes)];
  };

/** Rules that take operands whose scale is still to be multiplied in. */
export const scaleAware = new WeakSet<Rule>();
export const aware = (rule: Rule): Rule => {
  scaleAware.add(rule);
  return rule;
};

/** A rule that is linear in its first operand, so that the scale of that passes to the results. */
export const linear = (rule: Rule): Rule =>
  aware((graph, [operand, ...others], equation) =>
    rule(graph, [unscaled(operand), ...others], equation).map((result) =>
      rescaled(result, operand.scale ?? 1),
    ),
  );

/** Applies a rule inside another: what is still to be scaled is scaled first, unless the rule knows of scales. */
export const applyRule: (rule: Rule, ...operands: Parameters<Rule>) => Value[] = (
  rule,
  graph,
  operands,
  equation,
) => rule(graph, scaleAware.has(rule) ? operands : operands.map((x) => graph.settle(x)), equation);

/** A rule for each element type of the result. Float64 goes by float32's and uint32 by int32's where it has none. */
export const byType = (rulesByType: {
  float32?: Rule;
  float64?: Rule;
  int32?: Rule;
  uint32?: Rule;
  bool?: Rule;
}): Rule =>
  aware((graph, operands, equation) => {
    const { float32, float64 = float32, int32, uint32 = int32, bool } = rulesByType;
    const dtype = dtypeOut(equation);
    const rule = new Map<string, Rule | undefined>(
      Object.entries({ float32, float64, int32, uint32, bool }),
    ).get(dtype);
    if (!rule) throw new UnsupportedPrimitiveError(`${equation.primitive} with element type ${dtype}`);
    return applyRule(rule, graph, operands, equation);
  });

/** The equation as if it had other element types. */
function retyped(equation: Equation, from: OnnxDType, to: OnnxDType): Equation {
  const retype = <T extends Atom>(atom: T): T =>
    atom.aval.dtype === from ? { ...atom, aval: { ...atom.aval, dtype: to } } : atom;
  const { primitive, params, inputs, outBinders } = equation;
  return { primitive, params, inputs: inputs.map(retype), outBinders: outBinders.map(retype) };
}

/** The rule on operands of another type, its results brought back: for what ONNX Runtime computes in that type only. */
export const through =
  (from: OnnxDType, to: OnnxDType, rule: Rule): Rule =>
  (graph, operands, equation) => {
    const wide = operands.map((operand) => (operand.dtype === from ? cast(graph, operand, to) : operand));
    const results = applyRule(rule, graph, wide, retyped(equation, from, to));
    return equation.outBinders.map(({ aval }, i) => cast(graph, results[i], aval.dtype as OnnxDType));
  };

export const identity: Rule = linear((_, [operand]) => [operand]);

/** Casts both operands, then hands them to a binary rule of the element-wise module. */
export const binary = (combine: typeof add): Rule =>
  aware((graph, operands, equation) => {
    const dtype = dtypeOut(equation);
    const [a, b] = operands.map((operand) =>
      operand.dtype === dtype ? operand : cast(graph, operand, dtype),
    );
    return [combine(graph, a, b, shapeOut(equation), dtype)];
  });
