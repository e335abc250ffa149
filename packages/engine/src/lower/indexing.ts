import { UnsupportedPrimitiveError } from "../errors.js";
import { cast } from "./cast.js";
import { elementwise } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { around } from "./movement.js";
import { broadcastTo, contiguousView, product, shapeOf, transposeView } from "./view.js";

export interface GatherParameters {
  /** Axes of the array that the index arrays run over, one each. */
  axis: readonly number[];
  /** Where the axes of the (broadcast) index arrays stand in the result. */
  outDim: number;
}

/** `x[:, i, :, j]`: one index array for each of `axis`, broadcast against each other. */
export function gather(
  graph: Graph,
  operand: Value,
  indices: readonly Value[],
  { axis, outDim }: GatherParameters,
  indexShape: readonly number[],
): Value {
  const rest = operand.view.axes.map((_, i) => i).filter((i) => !axis.includes(i));
  const factors = operand.view.axes[axis[0]];
  if (axis.length === 1 && factors.length === 1 && factors[0].real) {
    const { physical } = operand.view;
    const at = physical.indexOf(factors[0]);
    const [slower, faster] = [physical.slice(0, at), physical.slice(at + 1)];
    const index = contiguousView(indexShape);
    const flat = graph.reshape(graph.dense(signed(graph, indices[0])), [product(indexShape)]);
    const along = around(operand.view, factors[0]);
    const [name] = graph.node(
      "Gather",
      [graph.reshape(operand.name, along.shape(factors[0].size)), flat],
      [along.shape(product(indexShape))],
      { axis: along.axis },
    );
    const axes = rest.map((i) => operand.view.axes[i]);
    axes.splice(outDim, 0, ...index.axes);
    return {
      name,
      dtype: operand.dtype,
      view: { physical: [...slower, ...index.physical, ...faster], axes },
    };
  }

  const shape = shapeOf(operand.view);
  const source = graph.dense({ ...operand, view: transposeView(operand.view, [...axis, ...rest]) });
  const restShape = rest.map((i) => shape[i]);
  const [name] = graph.node(
    "GatherND",
    [source, indexTuples(graph, indices, indexShape)],
    [[product(indexShape), ...restShape]],
  );
  return placeIndexAxes(
    graph.value(name, operand.dtype, [...indexShape, ...restShape]),
    indexShape.length,
    outDim,
  );
}

/** Moves the leading index axes to `outDim`. */
function placeIndexAxes(value: Value, count: number, outDim: number): Value {
  const axes = [...value.view.axes];
  const index = axes.splice(0, count);
  axes.splice(outDim, 0, ...index);
  return { ...value, view: { physical: value.view.physical, axes } };
}

/** ONNX knows signed indices only. */
const signed = (graph: Graph, index: Value): Value =>
  index.dtype === "uint32" ? cast(graph, index, "int32") : index;

/** The index arrays as int64 rows [positions, axes], which GatherND and ScatterND take. */
function indexTuples(graph: Graph, indices: readonly Value[], indexShape: readonly number[]): string {
  const count = product(indexShape);
  const columns = indices.map((index) => {
    const wide = cast(graph, { ...index, view: broadcastTo(index.view, indexShape) }, "int64");
    return graph.reshape(graph.dense(wide), [count, 1]);
  });
  return columns.length === 1
    ? columns[0]
    : graph.node("Concat", columns, [[count, columns.length]], { axis: 1 })[0];
}

export interface ScatterParameters extends GatherParameters {
  op: string;
  /** No place is written to twice. */
  uniqueIndices?: boolean;
  /** Shape of the result. */
  shape: readonly number[];
}

/** Zeros of `shape` with the updates added, or written, at the indexed places: the transpose of `gather`. */
export function scatter(
  graph: Graph,
  updates: Value,
  indices: readonly Value[],
  { op, shape, axis, outDim, uniqueIndices }: ScatterParameters,
  indexShape: readonly number[],
): Value {
  if (updates.dtype === "bool") {
    // A sum of booleans is whether any is true.
    const counts = scatter(
      graph,
      cast(graph, updates, "int32"),
      indices,
      { op, shape, axis, outDim, uniqueIndices },
      indexShape,
    );
    return cast(graph, counts, "bool");
  }
  if (op !== "add" && op !== "update") throw new UnsupportedPrimitiveError(`scatter with ${op}`);
  const rest = shape.map((_, i) => i).filter((i) => !axis.includes(i));
  const places = product(axis.map((i) => shape[i]));
  const width = product(rest.map((i) => shape[i]));

  const updateAxes = updates.view.axes.map((_, i) => i);
  const indexAxes = updateAxes.splice(outDim, indexShape.length);
  const rows = [product(indexShape), width];
  const moved = { ...updates, view: transposeView(updates.view, [...indexAxes, ...updateAxes]) };
  const target = [places, width];
  const zeros = graph.node(
    "Expand",
    [graph.scalar(updates.dtype, 0).name, graph.integers(target)],
    [target],
  )[0];
  const repeated = graph.node("Expand", [rowNumbers(), graph.integers(rows)], [rows])[0];
  // Not ScatterND: ONNX Runtime shares its rows out among threads, which lose updates of the same place.
  const [name] = graph.node(
    "ScatterElements",
    [zeros, repeated, graph.reshape(graph.dense(moved), rows)],
    [target],
    op === "add" && !uniqueIndices ? { axis: 0, reduction: "add" } : { axis: 0 },
  );
  const order = [...axis, ...rest];
  const result = graph.value(
    name,
    updates.dtype,
    order.map((i) => shape[i]),
  );
  return {
    ...result,
    view: transposeView(
      result.view,
      shape.map((_, i) => order.indexOf(i)),
    ),
  };

  /** The index tuples [positions, 1], each as one number that counts through the indexed axes in row-major order. */
  function rowNumbers(): string {
    const wide = indices
      .map((index) => signed(graph, index))
      .map((index) => ({
        ...index,
        view: broadcastTo(index.view, indexShape),
      }));
    const numbers = wide.reduce((slower, faster, k) => {
      const scaled = elementwise(
        graph,
        "Mul",
        [slower, graph.scalar("int32", shape[axis[k]])],
        indexShape,
        "int32",
      );
      return elementwise(graph, "Add", [scaled, faster], indexShape, "int32");
    });
    return graph.reshape(graph.dense(numbers), [product(indexShape), 1]);
  }
}
