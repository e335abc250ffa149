import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Equation } from "../trace.js";
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
export const scaleAware = new Set<Rule>();
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

/** Integers and booleans take one rule, floats another. */
export const byType = (rulesByType: { float32: Rule; int32: Rule; bool?: Rule }): Rule =>
  aware((graph, operands, equation) => {
    const rule = rulesByType[dtypeOut(equation) as "float32" | "int32" | "bool"];
    if (!rule)
      throw new UnsupportedPrimitiveError(`${equation.primitive} with element type ${dtypeOut(equation)}`);
    return rule(graph, scaleAware.has(rule) ? operands : operands.map((x) => graph.settle(x)), equation);
  });

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
