import { cast, isFloat } from "./cast.js";
import type { Graph, Value } from "./graph.js";
import type { Rule } from "./rule.js";
import { shapeOf } from "./view.js";

/** Stands for infinity among float64 keys, so that infinity can stand for NaN, which comes last. */
const ALMOST_INFINITE = { float32: 1e300, float64: Number.MAX_VALUE } as const;

/**
 * Something that sorts as the array does and that ONNX Runtime can sort: its TopK takes no unsigned integers, and
 * leaves NaN anywhere. Only where a float64 array holds both infinity and the largest number are those two confused.
 */
function sortKeys(graph: Graph, operand: Value): { keys: string; dtype: Value["dtype"] } {
  const { dtype } = operand;
  const shape = shapeOf(operand.view);
  if (dtype === "int32") return { keys: graph.dense(operand), dtype };
  if (dtype === "bool") return { keys: graph.dense(cast(graph, operand, "uint8")), dtype: "uint8" };
  if (dtype === "uint32") return { keys: graph.dense(cast(graph, operand, "int64")), dtype: "int64" };
  const wide = graph.dense(cast(graph, operand, "float64"));
  const limit = graph.scalar("float64", ALMOST_INFINITE[dtype as "float32" | "float64"]).name;
  const [missing] = graph.node("IsNaN", [wide], [shape]);
  const [bounded] = graph.node("Min", [wide, limit], [shape]);
  const infinity = graph.scalar("float64", Number.POSITIVE_INFINITY).name;
  const [keys] = graph.node("Where", [missing, infinity, bounded], [shape]);
  return { keys, dtype: "float64" };
}

/** Sorted values along the last axis and where they came from; equal values keep their order, NaN comes last. */
function sort(graph: Graph, operand: Value): { values: Value; indices: Value } {
  const shape = shapeOf(operand.view);
  const { keys, dtype } = sortKeys(graph, operand);
  const [sorted, places] = graph.node(
    "TopK",
    [keys, graph.integers([shape.at(-1) as number])],
    [shape, shape],
    { axis: shape.length - 1, largest: 0, sorted: 1 },
  );
  const indices = cast(graph, graph.value(places, "int64", shape), "int32");
  if (!isFloat(operand.dtype)) {
    return { values: cast(graph, graph.value(sorted, dtype, shape), operand.dtype), indices };
  }
  const axis = shape.length - 1;
  const [values] = graph.node("GatherElements", [graph.dense(operand), places], [shape], { axis });
  return { values: graph.value(values, operand.dtype, shape), indices };
}

export const sortingRules: Record<string, Rule> = {
  sort: (graph, [operand]) => [sort(graph, operand).values],
  argsort: (graph, [operand]) => {
    const { values, indices } = sort(graph, operand);
    return [values, indices];
  },
};
