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
  if (operand.dtype === "uint32") {
    // Sums and products wrap around alike with and without a sign; the order needs a type that holds it.
    const wide = op === "Add" || op === "Mul" ? "int32" : "int64";
    return cast(graph, reduce(graph, cast(graph, operand, wide), op, axes), "uint32");
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
    [name] = graph.node(
      operator,
      [graph.reshape(name, dims), graph.integers(reduced)],
      [dims.filter((_, i) => !runs[i].flag)],
      { keepdims: 0 },
    );
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
