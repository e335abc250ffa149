import { UnsupportedPrimitiveError } from "../errors.js";
import { dataTypes } from "../onnx/model.js";
import { elementwise } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { broadcastTo, contiguousView, product, shapeOf, sizes, transposeView } from "./view.js";

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
    const flat = graph.reshape(graph.dense(indices[0]), [product(indexShape)]);
    const dims = [product(sizes(slower)), factors[0].size, product(sizes(faster))];
    const [name] = graph.node(
      "Gather",
      [graph.reshape(operand.name, dims), flat],
      [[dims[0], product(indexShape), dims[2]]],
      { axis: 1 },
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

/** The index arrays as int64 rows [positions, axes], which GatherND and ScatterND take. */
function indexTuples(graph: Graph, indices: readonly Value[], indexShape: readonly number[]): string {
  const count = product(indexShape);
  const columns = indices.map((index) => {
    const wide = graph.reshape(graph.dense({ ...index, view: broadcastTo(index.view, indexShape) }), [
      count,
      1,
    ]);
    return graph.node("Cast", [wide], [[count, 1]], { to: dataTypes.int64 })[0];
  });
  return columns.length === 1
    ? columns[0]
    : graph.node("Concat", columns, [[count, columns.length]], { axis: 1 })[0];
}

export interface ScatterParameters extends GatherParameters {
  op: string;
  /** Shape of the result. */
  shape: readonly number[];
}

/** Zeros of `shape` with the updates added, or written, at the indexed places: the transpose of `gather`. */
export function scatter(
  graph: Graph,
  updates: Value,
  indices: readonly Value[],
  { op, shape, axis, outDim }: ScatterParameters,
  indexShape: readonly number[],
): Value {
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
    op === "add" ? { axis: 0, reduction: "add" } : { axis: 0 },
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
    const wide = indices.map((index) => ({ ...index, view: broadcastTo(index.view, indexShape) }));
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

/** Sorted values along the last axis and where they came from; equal values keep their order. */
export function sort(graph: Graph, operand: Value): { values: Value; indices: Value } {
  const shape = shapeOf(operand.view);
  const [values, indices] = graph.node(
    "TopK",
    [graph.dense(operand), graph.integers([shape.at(-1) as number])],
    [shape, shape],
    { axis: shape.length - 1, largest: 0, sorted: 1 },
  );
  const [positions] = graph.node("Cast", [indices], [shape], { to: dataTypes.int32 });
  return {
    values: graph.value(values, operand.dtype, shape),
    indices: graph.value(positions, "int32", shape),
  };
}
