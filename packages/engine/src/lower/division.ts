import { cast } from "./cast.js";
import { elementwise } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { byType, dtypeOut, pointwise, type Rule, shapeOut } from "./rule.js";
import { shapeOf } from "./view.js";

/** Division that rounds towards zero. Integer division in ONNX already does. */
const truncatedQuotient: Rule = (graph, operands, equation) => {
  const [shape, dtype] = [shapeOut(equation), dtypeOut(equation)];
  const [quotient] = pointwise("Div")(graph, operands, equation);
  const negative = elementwise(graph, "Less", [quotient, graph.scalar(dtype, 0)], shape, "bool");
  const up = elementwise(graph, "Ceil", [quotient], shape, dtype);
  const down = elementwise(graph, "Floor", [quotient], shape, dtype);
  return [elementwise(graph, "Where", [negative, up, down], shape, dtype)];
};

/**
 * A divisor that integers can be divided by, and a factor for the quotient. ONNX Runtime passes divisions by zero, and
 * of the least integer by -1, on to the processor, which ends the process: those divide by 1 instead, and the quotient
 * times the divisor, 0 or -1, is what jax-js's cpu backend gives.
 */
function harmless(graph: Graph, divisor: Value): { divisor: Value; factor?: Value } {
  const { dtype } = divisor;
  const known = graph.knownScalar(divisor);
  if (known !== undefined && known !== 0 && known !== -1) return { divisor };
  const shape = shapeOf(divisor.view);
  const one = graph.scalar(dtype, 1);
  const compute = (op: string, type: Value["dtype"], ...operands: Value[]) =>
    elementwise(graph, op, operands, shape, type);
  if (dtype === "uint32") {
    return { divisor: compute("Max", dtype, divisor, one), factor: compute("Min", dtype, divisor, one) };
  }
  const zero = compute("Equal", "bool", divisor, graph.scalar(dtype, 0));
  const minusOne = compute("Equal", "bool", divisor, graph.scalar(dtype, -1));
  const special = compute("Or", "bool", zero, minusOne);
  return {
    divisor: compute("Where", dtype, special, one, divisor),
    factor: compute("Where", dtype, special, divisor, one),
  };
}

const integerQuotient: Rule = (graph, operands, equation) => {
  const [shape, dtype] = [shapeOut(equation), dtypeOut(equation)];
  const [number, by] = operands.map((operand) => cast(graph, operand, dtype));
  const known = graph.knownScalar(by);
  if (dtype === "uint32" && known !== undefined && Number.isInteger(Math.log2(known))) {
    const places = graph.scalar(dtype, Math.log2(known));
    return [elementwise(graph, "BitShift", [number, places], shape, dtype, { direction: "RIGHT" })];
  }
  const { divisor, factor } = harmless(graph, by);
  const quotient = elementwise(graph, "Div", [number, divisor], shape, dtype);
  return [factor ? elementwise(graph, "Mul", [quotient, factor], shape, dtype) : quotient];
};

/** The remainder has the sign of the dividend. */
const integerRemainder: Rule = (graph, operands, equation) => {
  const [shape, dtype] = [shapeOut(equation), dtypeOut(equation)];
  const [number, by] = operands.map((operand) => cast(graph, operand, dtype));
  const { divisor } = harmless(graph, by);
  return [elementwise(graph, "Mod", [number, divisor], shape, dtype, { fmod: 1 })];
};

export const divisionRules: Record<string, Rule> = {
  idiv: byType({ float32: truncatedQuotient, int32: integerQuotient }),
  mod: byType({ float32: pointwise("Mod", { fmod: 1 }), int32: integerRemainder }),
};
