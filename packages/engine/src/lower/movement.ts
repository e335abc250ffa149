import type { Graph, Value } from "./graph.js";
import { contiguousView, type Factor, product, shapeOf, sizes, type View } from "./view.js";

/** The only factor of a logical axis where that is a dimension of the buffer; null where the axis is anything else. */
const onlyFactor = (value: Value, axis: number): Factor | null => {
  const factors = value.view.axes[axis];
  return factors.length === 1 && factors[0].real ? factors[0] : null;
};

/** The view with one real factor in the place of another; a factor of length 1 goes. */
function exchange(view: View, factor: Factor, size: number): View {
  const replacement: Factor[] = size === 1 ? [] : [{ size, real: true }];
  const swap = (factors: readonly Factor[]) => factors.flatMap((f) => (f === factor ? replacement : [f]));
  return { physical: swap(view.physical), axes: view.axes.map(swap) };
}

/** The buffer as [slower, this factor, faster] without what has length 1: that shape, with another size, and its axis. */
export function around(view: View, factor: Factor): { shape: (size: number) => number[]; axis: number } {
  const at = view.physical.indexOf(factor);
  const merged = (factors: readonly Factor[]) => (factors.length > 0 ? [product(sizes(factors))] : []);
  const slower = merged(view.physical.slice(0, at));
  const faster = merged(view.physical.slice(at + 1));
  return { shape: (size) => [...slower, size, ...faster], axis: slower.length };
}

export function split(graph: Graph, operand: Value, axis: number, parts: readonly number[]): Value[] {
  const value = onlyFactor(operand, axis) ? operand : graph.materialise(operand);
  const factor = onlyFactor(value, axis);
  if (factor === null) return [operand]; // an axis of length 1 has one part
  const along = around(value.view, factor);
  const names = graph.node(
    "Split",
    [graph.reshape(value.name, along.shape(factor.size)), graph.integers(parts)],
    parts.map(along.shape),
    { axis: along.axis },
  );
  return names.map((name, i) => ({ name, dtype: value.dtype, view: exchange(value.view, factor, parts[i]) }));
}

export function concatenate(graph: Graph, operands: readonly Value[], axis: number): Value {
  const shape = shapeOf(operands[0].view);
  const total = operands.reduce((sum, operand) => sum + shapeOf(operand.view)[axis], 0);
  const layout = ({ view }: Value) =>
    JSON.stringify(
      view.physical.map((factor) => {
        const at = view.axes.findIndex((factors) => factors.includes(factor));
        return [at, view.axes[at].indexOf(factor), at === axis ? "any" : factor.size];
      }),
    );
  const alike = operands.every(
    (operand) =>
      onlyFactor(operand, axis) &&
      operand.view.axes.flat().every((factor) => factor.real) &&
      layout(operand) === layout(operands[0]),
  );
  if (alike) {
    const factor = onlyFactor(operands[0], axis) as Factor;
    const along = around(operands[0].view, factor);
    const inputs = operands.map((operand) =>
      graph.reshape(operand.name, along.shape((onlyFactor(operand, axis) as Factor).size)),
    );
    // jax-js concatenates long lists in groups of groups: join what was joined along the same axis before.
    const parts = inputs.flatMap((input) => {
      const maker = graph.maker(input);
      return maker?.op === "Concat" && maker.attributes.axis === along.axis ? maker.inputs : [input];
    });
    const [name] = graph.node("Concat", parts, [along.shape(total)], { axis: along.axis });
    return { name, dtype: operands[0].dtype, view: exchange(operands[0].view, factor, total) };
  }
  const result = shape.with(axis, total);
  const [name] = graph.node(
    "Concat",
    operands.map((operand) => graph.dense(operand)),
    [result],
    { axis },
  );
  return graph.value(name, operands[0].dtype, result);
}

/** The part of an array between `[start, end)` of each axis. */
export function shrink(graph: Graph, operand: Value, bounds: readonly (readonly [number, number])[]): Value {
  const shape = shapeOf(operand.view);
  const cut = shape.flatMap((size, axis) => (bounds[axis][1] - bounds[axis][0] < size ? [axis] : []));
  const easy = (axis: number) => operand.view.axes[axis].length === 1;
  if (!cut.every(easy)) return shrink(graph, graph.materialise(operand), bounds);

  const { physical } = operand.view;
  const moved = cut.filter((axis) => onlyFactor(operand, axis));
  let name = operand.name;
  let view = operand.view;
  for (const axis of cut) {
    const size = bounds[axis][1] - bounds[axis][0];
    const factor = view.axes[axis][0];
    view = factor.real
      ? exchange(view, factor, size)
      : { ...view, axes: view.axes.with(axis, size === 1 ? [] : [{ size, real: false }]) };
  }
  if (moved.length > 0) {
    const dims = moved.map((axis) => physical.indexOf(onlyFactor(operand, axis) as Factor));
    const after = physical.map((factor, i) => {
      const k = dims.indexOf(i);
      return k === -1 ? factor.size : bounds[moved[k]][1] - bounds[moved[k]][0];
    });
    const starts = graph.integers(moved.map((axis) => bounds[axis][0]));
    const ends = graph.integers(moved.map((axis) => bounds[axis][1]));
    [name] = graph.node(
      "Slice",
      [graph.reshape(name, sizes(physical)), starts, ends, graph.integers(dims)],
      [after],
    );
  }
  return { name, dtype: operand.dtype, view };
}

/** Zeros (false) before and after each axis. */
export function pad(graph: Graph, operand: Value, widths: readonly (readonly [number, number])[]): Value {
  const shape = shapeOf(operand.view).map((size, axis) => size + widths[axis][0] + widths[axis][1]);
  const amounts = graph.integers([...widths.map(([before]) => before), ...widths.map(([, after]) => after)]);
  const zero = graph.scalar(operand.dtype, 0).name;
  const [name] = graph.node("Pad", [graph.dense(operand), amounts, zero], [shape], { mode: "constant" });
  return { name, dtype: operand.dtype, view: contiguousView(shape) };
}

export function flip(graph: Graph, operand: Value, axes: readonly number[]): Value {
  const shape = shapeOf(operand.view);
  const count = axes.length;
  const [name] = graph.node(
    "Slice",
    [
      graph.dense(operand),
      graph.integers(axes.map((axis) => shape[axis] - 1)),
      graph.integers(new Array(count).fill(Number.MIN_SAFE_INTEGER)),
      graph.integers([...axes]),
      graph.integers(new Array(count).fill(-1)),
    ],
    [shape],
  );
  return graph.value(name, operand.dtype, shape);
}
