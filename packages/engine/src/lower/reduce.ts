import { UnsupportedPrimitiveError } from "../errors.js";
import { cast, isFloat } from "./cast.js";
import type { Graph, Value } from "./graph.js";
import { type Factor, product, sizes } from "./view.js";

const operators: Record<string, string> = {
  Add: "ReduceSum",
  Mul: "ReduceProd",
  Max: "ReduceMax",
  Min: "ReduceMin",
};

/** Reduces logical axes. What is repeated along an axis is not added up but multiplied by the number of repetitions. */
export function reduce(graph: Graph, operand: Value, op: string, axes: readonly number[]): Value {
  const operator = operators[op];
  if (!operator) throw new UnsupportedPrimitiveError(`reduce with ${op}`);
  if (operand.dtype === "bool") {
    // Any and all, as the largest and the smallest of zeros and ones.
    const extreme = { Add: "Max", Mul: "Min" }[op] ?? op;
    return cast(graph, reduce(graph, cast(graph, operand, "int32"), extreme, axes), "bool");
  }
  const { dtype } = operand;
  if (dtype === "uint32" && op !== "Add" && op !== "Mul") {
    // Not in int64: ONNX Runtime 1.30 compares the lower halves of those only.
    return cast(graph, reduce(graph, cast(graph, operand, "float64"), op, axes), dtype);
  }
  if ((dtype === "uint32" || dtype === "int32") && op === "Add") {
    // Integers wrap around, which ONNX Runtime's sums do not.
    return cast(graph, reduce(graph, cast(graph, operand, "int64"), op, axes), dtype);
  }

  const { physical, axes: all } = operand.view;
  const gone = new Set(axes.flatMap((axis) => all[axis]));
  const keptAxes = all.filter((_, axis) => !axes.includes(axis));
  const kept = physical.filter((factor) => !gone.has(factor));
  const view = { physical: kept, axes: keptAxes };

  let name = operand.name;
  if (kept.length < physical.length) {
    const runs = runsOf(physical, (factor) => gone.has(factor));
    const dims = runs.map((run) => product(sizes(run.factors)));
    const reduced = runs.flatMap((run, i) => (run.flag ? [i] : []));
    const dense = graph.reshape(name, dims);
    const left = dims.filter((_, i) => !runs[i].flag);
    if (op === "Mul" && !isFloat(dtype)) name = graph.reshape(integerProduct(graph, dense, reduced), left);
    else [name] = graph.node(operator, [dense, graph.integers(reduced)], [left], { keepdims: 0 });
  }
  const repeats = product(sizes([...gone].filter((factor) => !factor.real)));
  if (repeats > 1 && (op === "Add" || op === "Mul")) {
    const shape = sizes(kept);
    const times = (a: string, b: string) => graph.node("Mul", [a, b], [shape])[0];
    const dense = graph.reshape(name, shape);
    if (op === "Add") name = times(dense, graph.scalar(operand.dtype, repeats).name);
    else if (!isFloat(operand.dtype)) name = repeated(dense, repeats, times);
    else [name] = graph.node("Pow", [dense, graph.scalar(operand.dtype, repeats).name], [shape]);
  }
  return { name, dtype: operand.dtype, view };
}

/** Products along axes, which keep length 1, by halves: ONNX Runtime's own do not wrap around. */
function integerProduct(graph: Graph, name: string, axes: readonly number[]): string {
  return axes.reduce((whole, axis) => {
    let product = whole;
    for (let shape = graph.shapeOf(product); shape[axis] > 1; shape = graph.shapeOf(product)) {
      const half = Math.floor(shape[axis] / 2);
      const part = (start: number, end: number) =>
        graph.node(
          "Slice",
          [product, ...[start, end, axis].map((bound) => graph.integers([bound]))],
          [shape.with(axis, end - start)],
        )[0];
      const halves = graph.node("Mul", [part(0, half), part(half, 2 * half)], [shape.with(axis, half)])[0];
      product =
        shape[axis] === 2 * half
          ? halves
          : graph.node("Concat", [halves, part(2 * half, shape[axis])], [shape.with(axis, half + 1)], {
              axis,
            })[0];
    }
    return product;
  }, name);
}

/** A power by squares: ONNX's Pow of integers goes by way of floats. */
function repeated(base: string, exponent: number, times: (a: string, b: string) => string): string {
  if (exponent === 1) return base;
  const square = repeated(times(base, base), Math.floor(exponent / 2), times);
  return exponent % 2 === 1 ? times(square, base) : square;
}

function runsOf(factors: readonly Factor[], test: (factor: Factor) => boolean) {
  const runs: { flag: boolean; factors: Factor[] }[] = [];
  for (const factor of factors) {
    const flag = test(factor);
    const last = runs.at(-1);
    if (last && last.flag === flag) last.factors.push(factor);
    else runs.push({ flag, factors: [factor] });
  }
  return runs;
}
