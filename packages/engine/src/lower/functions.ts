import { cast } from "./cast.js";
import { elementwise } from "./elementwise.js";
import type { Value } from "./graph.js";
import { byType, dtypeOut, pointwise, type Rule, shapeOut, through } from "./rule.js";

// The functions of one float. ONNX Runtime computes Asin, Atan and Erf in float32 only.

/**
 * The arc tangent in float64: the one in float32, y, improved by a step of Newton's method on tan. The error e of
 * y is tan(e) = (sin y - x cos y) / (cos y + x sin y), and what is left of it has the order of e cubed, 1e-21.
 */
const preciseAtan: Rule = (graph, [x], equation) => {
  const shape = shapeOut(equation);
  const compute = (op: string, ...operands: Value[]) => elementwise(graph, op, operands, shape, "float64");
  // The arc tangent of 1e30 is that of infinity, with which the step could not be computed.
  const bounded = compute("Clip", x, graph.scalar("float64", -1e30), graph.scalar("float64", 1e30));
  const small = elementwise(graph, "Atan", [cast(graph, bounded, "float32")], shape, "float32");
  const y = cast(graph, small, "float64");
  const [sin, cos] = [compute("Sin", y), compute("Cos", y)];
  const error = compute(
    "Div",
    compute("Sub", sin, compute("Mul", bounded, cos)),
    compute("Add", cos, compute("Mul", bounded, sin)),
  );
  return [compute("Sub", y, error)];
};

/** asin x = 2 atan(x / (1 + sqrt((1 - x)(1 + x)))), which is precise up to both ends. */
const preciseAsin: Rule = (graph, [x], equation) => {
  const shape = shapeOut(equation);
  const compute = (op: string, ...operands: Value[]) => elementwise(graph, op, operands, shape, "float64");
  const number = (value: number) => graph.scalar("float64", value);
  const square = compute("Mul", compute("Sub", number(1), x), compute("Add", number(1), x));
  const half = compute("Div", x, compute("Add", number(1), compute("Sqrt", square)));
  return [compute("Mul", preciseAtan(graph, [half], equation)[0], number(2))];
};

const erf: Rule = pointwise("Erf");

/** To an absolute error of 6e-8; the tail beyond 4, where jax-js has numbers below 1e-8, is 0. */
const erfc: Rule = (graph, operands, equation) => {
  const dtype = dtypeOut(equation);
  const [inner] = erf(graph, operands, equation);
  return [elementwise(graph, "Sub", [graph.scalar(dtype, 1), inner], shapeOut(equation), dtype)];
};

/** As precise as float32, which jax-js's own (a polynomial with an error of 1.5e-7) is not quite. */
const inSingle = (rule: Rule): Rule => through("float64", "float32", rule);

export const functionRules: Record<string, Rule> = {
  sin: byType({ float32: pointwise("Sin") }),
  cos: byType({ float32: pointwise("Cos") }),
  asin: byType({ float32: pointwise("Asin"), float64: preciseAsin }),
  atan: byType({ float32: pointwise("Atan"), float64: preciseAtan }),
  exp: byType({ float32: pointwise("Exp") }),
  log: byType({ float32: pointwise("Log") }),
  sqrt: byType({ float32: pointwise("Sqrt") }),
  erf: byType({ float32: erf, float64: inSingle(erf) }),
  erfc: byType({ float32: erfc, float64: inSingle(erfc) }),
};
