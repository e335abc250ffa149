import { UnsupportedPrimitiveError } from "../errors.js";
import { cast } from "./cast.js";
import type { Graph, Value } from "./graph.js";
import { type Factor, product, shapeOf, sizes, transposeView } from "./view.js";

const operators: Record<string, string> = {
  Add: "ReduceSum",
  Mul: "ReduceProd",
  Max: "ReduceMax",
  Min: "ReduceMin",
};

/** Sums of rows of this length and more are taken as products. */
const WIDE = 16;

/** Reduces logical axes. What is repeated along an axis is not added up but multiplied by the number of repetitions. */
export function reduce(graph: Graph, operand: Value, op: string, axes: readonly number[]): Value {
  const operator = operators[op];
  if (!operator) throw new UnsupportedPrimitiveError(`reduce with ${op}`);
  if (operand.dtype === "bool") {
    // Any and all, as the largest and the smallest of zeros and ones.
    const extreme = { Add: "Max", Mul: "Min" }[op] ?? op;
    return cast(graph, reduce(graph, cast(graph, operand, "int32"), extreme, axes), "bool");
  }
  if (operand.dtype === "uint32" || operand.dtype === "int32") {
    // Integers wrap around, which ONNX Runtime's sums and products do not.
    if (op === "Mul") return integerProduct(graph, operand, axes);
    if (op === "Add")
      return cast(graph, reduce(graph, cast(graph, operand, "int64"), op, axes), operand.dtype);
  }
  if (operand.dtype === "uint32") {
    // Not in int64: ONNX Runtime 1.30 compares the lower halves of those only.
    return cast(graph, reduce(graph, cast(graph, operand, "float64"), op, axes), "uint32");
  }

  const { physical, axes: all } = operand.view;
  const gone = new Set(axes.flatMap((axis) => all[axis]));
  const keptAxes = all.filter((_, axis) => !axes.includes(axis));
  const kept = physical.filter((factor) => !gone.has(factor));
  const view = { physical: kept, axes: keptAxes };

  let { name } = operand;
  if (kept.length < physical.length) {
    const runs = runsOf(physical, (factor) => gone.has(factor));
    if (runs.length > 3) {
      // ONNX Runtime is fast for at most three groups of axes: one group of reduced axes goes first.
      const first = new Set(runs.find((run) => run.flag)?.factors);
      const without = (factors: readonly Factor[]) => factors.filter((factor) => !first.has(factor));
      const single = { physical, axes: [[...first], physical.filter((factor) => !first.has(factor))] };
      const partial = reduce(graph, { ...operand, view: single }, op, [0]);
      const left = { physical: without(physical), axes: all.map(without) };
      return reduce(graph, { ...partial, view: left }, op, axes);
    }
    const dims = runs.map((run) => product(sizes(run.factors)));
    const reduced = runs.flatMap((run, i) => (run.flag ? [i] : []));
    const dots = op === "Add" && runs.at(-1)?.flag ? rowProducts(graph, name, dims.at(-1) as number) : null;
    if (dots !== null) {
      const left = reduced.slice(0, -1);
      name = graph.reshape(dots, dims.slice(0, -1));
      if (left.length > 0) {
        const shape = dims.filter((_, i) => !runs[i].flag);
        [name] = graph.node(operator, [name, graph.integers(left)], [shape], { keepdims: 0 });
      }
    } else if (
      operator === "ReduceSum" &&
      operand.dtype === "float32" &&
      runs.length === 2 &&
      runs[0].flag &&
      dims[1] >= WIDE
    ) {
      name = sumOfRows(graph, graph.reshape(name, dims), dims);
    } else {
      [name] = graph.node(
        operator,
        [graph.reshape(name, dims), graph.integers(reduced)],
        [dims.filter((_, i) => !runs[i].flag)],
        { keepdims: 0 },
      );
    }
  }
  const repeats = product(sizes([...gone].filter((factor) => !factor.real)));
  if (repeats > 1 && (op === "Add" || op === "Mul")) {
    const shape = sizes(kept);
    const count = graph.scalar(operand.dtype, repeats).name;
    [name] = graph.node(op === "Add" ? "Mul" : "Pow", [graph.reshape(name, shape), count], [shape]);
  }
  return { name, dtype: operand.dtype, view };
}

/** Products of integers by halves: each half times the other, and what is left over. */
function integerProduct(graph: Graph, operand: Value, axes: readonly number[]): Value {
  const order = operand.view.axes.map((_, axis) => axis);
  const kept = order.filter((axis) => !axes.includes(axis));
  const moved = { ...operand, view: transposeView(operand.view, [...axes, ...kept]) };
  const shape = shapeOf(moved.view);
  const width = product(shape.slice(axes.length));
  let length = product(shape.slice(0, axes.length));
  let name = graph.reshape(graph.dense(moved), [length, width]);
  while (length > 1) {
    const half = Math.floor(length / 2);
    const part = (start: number, end: number) => {
      const bounds = [start, end, 0].map((bound) => graph.integers([bound]));
      return graph.node("Slice", [name, ...bounds], [[end - start, width]])[0];
    };
    const halves = graph.node("Mul", [part(0, half), part(half, 2 * half)], [[half, width]])[0];
    const rest = length - 2 * half;
    name = rest
      ? graph.node("Concat", [halves, part(2 * half, length)], [[half + rest, width]], { axis: 0 })[0]
      : halves;
    length = half + rest;
  }
  const result = shape.slice(axes.length);
  return graph.value(graph.reshape(name, result), operand.dtype, result);
}

/** The sum of the rows of a matrix, e.g. the gradient of a bias: ONNX Runtime's own takes up to seven times as long. */
function sumOfRows(graph: Graph, name: string, [rows, columns]: readonly number[]): string {
  const ones = graph.node("Expand", [graph.scalar("float32", 1).name, graph.integers([rows])], [[rows]])[0];
  return graph.node("MatMul", [ones, name], [[columns]])[0];
}

/** A row must be this long for its product to be faster than a multiplication and a sum. */
const SHORTEST_ROW = 256;

/**
 * The sums of the rows of a product of two tensors, as products of rows with columns: so the product is not written
 * to memory to be read again. Null where the tensor is none, or has few elements in a row.
 */
function rowProducts(graph: Graph, name: string, length: number): string | null {
  let maker = graph.maker(name);
  if (maker?.op === "Reshape") maker = graph.maker(maker.inputs[0]);
  if (maker?.op !== "Mul" || length < SHORTEST_ROW) return null;
  const count = product(graph.shapeOf(name));
  if (maker.inputs.some((input) => product(graph.shapeOf(input)) !== count)) return null;
  const [a, b] = maker.inputs;
  const rows = count / length;
  // Written as a transpose, which ONNX Runtime folds: it is slow with columns of one number.
  const second = graph.reshape(b, [rows, 1, length]);
  const [columns] = graph.node("Transpose", [second], [[rows, length, 1]], { perm: [0, 2, 1] });
  const [dots] = graph.node("MatMul", [graph.reshape(a, [rows, 1, length]), columns], [[rows, 1, 1]]);
  return dots;
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
