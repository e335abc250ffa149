import { UnsupportedPrimitiveError } from "../errors.js";
import { dataTypes, type OnnxDType } from "../onnx/model.js";
import { cast } from "./cast.js";
import { elementwise } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { dtypeOut, type Rule, shapeOut } from "./rule.js";
import { shapeOf } from "./view.js";

const capitalised = (word: string) => word[0].toUpperCase() + word.slice(1);

const bitCombine: Rule = (graph, operands, equation) => {
  const dtype = dtypeOut(equation);
  const same = operands.map((operand) => cast(graph, operand, dtype));
  const op = capitalised(equation.params.op as string);
  return [elementwise(graph, dtype === "bool" ? op : `Bitwise${op}`, same, shapeOut(equation), dtype)];
};

/** Shifts by the last five bits of the count, as JavaScript's; to the right zeros come in, whatever the sign. */
const bitShift: Rule = (graph, [value, count], equation) => {
  const shape = shapeOut(equation);
  const shift = (op: string, operands: Value[], attributes = {}) =>
    elementwise(graph, op, operands, shape, "uint32", attributes);
  const amount = elementwise(
    graph,
    "BitwiseAnd",
    [cast(graph, count, "uint32"), graph.scalar("uint32", 31)],
    shapeOf(count.view),
    "uint32",
  );
  const direction = equation.params.op === "shl" ? "LEFT" : "RIGHT";
  const shifted = shift("BitShift", [cast(graph, value, "uint32"), amount], { direction });
  return [cast(graph, shifted, dtypeOut(equation))];
};

/** Counts the ones of 2, then 4, then 8 neighbouring bits at once; the product adds up the four bytes. */
const bitCount: Rule = (graph, [operand], equation) => {
  const shape = shapeOut(equation);
  const compute = (op: string, a: Value, b: Value, attributes = {}) =>
    elementwise(graph, op, [a, b], shape, "uint32", attributes);
  const number = (value: number) => graph.scalar("uint32", value);
  const right = (value: Value, by: number) => compute("BitShift", value, number(by), { direction: "RIGHT" });
  const masked = (value: Value, mask: number) => compute("BitwiseAnd", value, number(mask));
  const bits = cast(graph, operand, "uint32");
  const pairs = compute("Sub", bits, masked(right(bits, 1), 0x55555555));
  const fours = compute("Add", masked(pairs, 0x33333333), masked(right(pairs, 2), 0x33333333));
  const bytes = masked(compute("Add", fours, right(fours, 4)), 0x0f0f0f0f);
  return [cast(graph, right(compute("Mul", bytes, number(0x01010101)), 24), "int32")];
};

/** The same bits as another type of the same width. */
export function bitcast(graph: Graph, operand: Value, dtype: OnnxDType): Value {
  if (operand.dtype === dtype) return operand;
  const integers = ["int32", "uint32"];
  if (integers.includes(operand.dtype) && integers.includes(dtype)) return cast(graph, operand, dtype);
  const [name] = graph.node("BitCast", [operand.name], [graph.shapeOf(operand.name)], {
    to: dataTypes[dtype],
  });
  return { name, dtype, view: operand.view };
}

export const bitRules: Record<string, Rule> = {
  bit_combine: bitCombine,
  bit_shift: bitShift,
  bit_count: bitCount,
  bitcast: (graph, [operand], equation) => {
    const dtype = dtypeOut(equation);
    if (operand.dtype === "bool" && dtype !== "bool")
      throw new UnsupportedPrimitiveError("bitcast of booleans");
    return [bitcast(graph, operand, dtype)];
  },
};
