import type { Equation, Variable } from "../trace.js";
import { add, rescaled } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { pad, shrink } from "./movement.js";
import { interleaved, zeros } from "./phases.js";
import { aware, linear, type Rule, scaleAware, shapeOut } from "./rule.js";
import { product, reshapeView, shapeOf, transposeView, type View } from "./view.js";
import { placesOf, strided, surrounded } from "./windows.js";

interface PoolParameters {
  readonly window: readonly number[];
  readonly strides: readonly number[];
}

/**
 * jax-js writes a pooling as `pool`, which gives each place its window (`[..., places, window]`), and a reduction of
 * the window; gradients come back through `pool_transpose`. Windows that do not overlap are a view of the array, so
 * nothing is copied in either direction. Overlapping ones are copied where something other than a maximum or a sum
 * is made of them; those are ONNX's own poolings.
 */
export function poolingRules(reduce: Rule): { pool: Rule; pool_transpose: Rule; reduce: Rule } {
  const pooled = new Map<Variable, { operand: Value; parameters: PoolParameters }>();
  const pool = linear((graph, [operand], equation) => {
    const parameters = equation.params as unknown as PoolParameters;
    pooled.set(equation.outBinders[0], { operand, parameters });
    return [
      isApart(parameters)
        ? separateWindows(graph, operand, parameters)
        : copiedWindows(graph, operand, parameters),
    ];
  });
  return {
    pool,
    pool_transpose: linear((graph, [windows], { params }) => {
      const parameters = params as unknown as PoolParameters & { inShape: readonly number[] };
      return [
        isApart(parameters)
          ? joinedWindows(graph, windows, parameters, parameters.inShape)
          : addedWindows(graph, windows, parameters, parameters.inShape),
      ];
    }),
    reduce: poolingReduction(pooled, reduce),
  };
}

const isApart = ({ window, strides }: PoolParameters) => window.every((size, i) => size <= strides[i]);

/** How many places the windows of each axis have, of `input` elements. */
const placesAlong = ({ window, strides }: PoolParameters, input: readonly number[]): number[] =>
  input.map((size, i) => Math.ceil((size - window[i] + 1) / strides[i]));

/** Cut or filled up at the end, to the given lengths. */
function resized(graph: Graph, value: Value, lengths: readonly number[]): Value {
  const shape = shapeOf(value.view);
  const kept = shape.map((size, axis) => Math.min(size, lengths[axis]));
  const isCut = kept.some((size, axis) => size < shape[axis]);
  const cut = isCut
    ? shrink(
        graph,
        value,
        kept.map((size) => [0, size] as const),
      )
    : value;
  if (lengths.every((size, axis) => size === kept[axis])) return cut;
  return pad(
    graph,
    cut,
    lengths.map((size, axis) => [0, size - kept[axis]] as const),
  );
}

function reshaped(graph: Graph, value: Value, shape: readonly number[]): Value {
  const view: View | null = reshapeView(value.view, shape);
  return view
    ? { ...value, view }
    : graph.value(graph.reshape(graph.dense(value), shape), value.dtype, shape);
}

const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** Windows that do not overlap: each axis as places times strides, of which the window is the beginning. */
function separateWindows(graph: Graph, operand: Value, parameters: PoolParameters): Value {
  const { window, strides } = parameters;
  const shape = shapeOf(operand.view);
  const lead = shape.slice(0, shape.length - window.length);
  const places = placesAlong(parameters, shape.slice(lead.length));
  const whole = resized(graph, operand, [...lead, ...places.map((count, i) => count * strides[i])]);
  const apart = reshaped(graph, whole, [...lead, ...places.flatMap((count, i) => [count, strides[i]])]);
  const windows = resized(graph, apart, [...lead, ...places.flatMap((count, i) => [count, window[i]])]);
  const axes = upTo(window.length);
  const perm = [
    ...upTo(lead.length),
    ...axes.map((i) => lead.length + 2 * i),
    ...axes.map((i) => lead.length + 2 * i + 1),
  ];
  return { ...windows, view: transposeView(windows.view, perm) };
}

/** The transpose of `separateWindows`. */
function joinedWindows(
  graph: Graph,
  windows: Value,
  parameters: PoolParameters,
  inShape: readonly number[],
): Value {
  const { window, strides } = parameters;
  const lead = inShape.slice(0, inShape.length - window.length);
  const places = placesAlong(parameters, inShape.slice(lead.length));
  const axes = upTo(window.length);
  const perm = [
    ...upTo(lead.length),
    ...axes.flatMap((i) => [lead.length + i, lead.length + window.length + i]),
  ];
  const paired = { ...windows, view: transposeView(windows.view, perm) };
  const filled = resized(graph, paired, [...lead, ...places.flatMap((count, i) => [count, strides[i]])]);
  const whole = reshaped(graph, filled, [...lead, ...places.map((count, i) => count * strides[i])]);
  return resized(graph, whole, inShape);
}

/** Overlapping windows, one strided part of the array for each element of the window. */
function copiedWindows(graph: Graph, operand: Value, parameters: PoolParameters): Value {
  const { window, strides } = parameters;
  const shape = shapeOf(operand.view);
  const lead = shape.slice(0, shape.length - window.length);
  const places = placesAlong(parameters, shape.slice(lead.length));
  const dense = graph.dense(operand);
  const size = product(lead) * product(places);
  const parts = placesOf(window).map((start) =>
    graph.reshape(strided(graph, dense, start, strides, places), [1, size]),
  );
  const [stacked] = graph.node("Concat", parts, [[parts.length, size]], { axis: 0 });
  const value = graph.value(stacked, operand.dtype, [...window, ...lead, ...places]);
  const perm = [...upTo(shape.length, window.length), ...upTo(window.length)];
  return { ...value, view: transposeView(value.view, perm) };
}

/**
 * The transpose of `copiedWindows`. Elements with the same remainder by the strides receive from the same elements of
 * the windows, shifted by whole places: these are added up, and the sums interleaved.
 */
function addedWindows(
  graph: Graph,
  windows: Value,
  parameters: PoolParameters,
  inShape: readonly number[],
): Value {
  const { window, strides } = parameters;
  const { dtype } = windows;
  const rank = window.length;
  const lead = inShape.slice(0, inShape.length - rank);
  const input = inShape.slice(lead.length);
  const places = placesAlong(parameters, input);
  const rows = product(lead);
  const part = partsOfWindows(graph, windows, rank);
  const counts = input.map((size, i) => Math.ceil(size / strides[i]));
  const sums = placesOf(strides).map((remainder) => {
    const terms = placesOf(window).flatMap((at, index) => {
      if (at.some((k, i) => k % strides[i] !== remainder[i])) return [];
      const padding = at.map((k, i) => {
        const before = Math.floor(k / strides[i]);
        return [before, counts[i] - places[i] - before] as const;
      });
      return [
        graph.value(surrounded(graph, graph.reshape(part(index), [rows, ...places]), dtype, padding), dtype),
      ];
    });
    if (terms.length === 0) return zeros(graph, dtype, [rows, ...counts]);
    return graph.dense(terms.reduce((sum, term) => add(graph, sum, term, [rows, ...counts], dtype)));
  });
  const shape = { batch: rows, groups: 1, filters: 1, output: input };
  return graph.value(graph.reshape(interleaved(graph, sums, shape, strides, 1), inShape), dtype);
}

/** The part `[..., places]` of windows for each element of the window, by its number. */
function partsOfWindows(graph: Graph, windows: Value, rank: number): (index: number) => string {
  const { axes } = windows.view;
  const [kept, own] = [axes.slice(0, axes.length - rank), axes.slice(axes.length - rank)];
  if (!own.flat().some((factor) => factor.real)) {
    const same = graph.dense({ ...windows, view: { ...windows.view, axes: kept } });
    return () => same;
  }
  const count = product(own.flat().map(({ size }) => size));
  const front = graph.dense({ ...windows, view: { ...windows.view, axes: [...own, ...kept] } });
  const size = product(graph.shapeOf(front)) / count;
  const parts = graph.node(
    "Split",
    [graph.reshape(front, [count, size]), graph.integers(new Array(count).fill(1))],
    new Array(count).fill([1, size]),
    { axis: 0 },
  );
  return (index) => parts[index];
}

/** Reductions, of which a maximum or a sum over windows is one of ONNX's poolings. */
function poolingReduction(
  pooled: ReadonlyMap<Variable, { operand: Value; parameters: PoolParameters }>,
  reduce: Rule,
): Rule {
  const poolingOf = (operands: readonly Value[], { inputs, params }: Equation) => {
    const [input] = inputs;
    const source = "value" in input ? undefined : pooled.get(input);
    if (source?.operand.dtype !== "float32" || source.parameters.window.length > 3) return null;
    const { window } = source.parameters;
    const windowAxes = upTo(window.length, input.aval.shape.length - window.length);
    const axes = [...(params.axis as number[])].sort((a, b) => a - b);
    if (axes.join() !== windowAxes.join()) return null;
    if (params.op === "Add") return { ...source, op: "AveragePool", times: product(window) };
    // The largest of negated elements is not the negated largest.
    return params.op === "Max" && (operands[0].scale ?? 1) > 0
      ? { ...source, op: "MaxPool", times: 1 }
      : null;
  };
  return aware((graph, operands, equation) => {
    const pooling = poolingOf(operands, equation);
    if (pooling === null) {
      return reduce(
        graph,
        scaleAware.has(reduce) ? operands : operands.map((x) => graph.settle(x)),
        equation,
      );
    }
    const { operand, parameters, op, times } = pooling;
    const input = shapeOf(operand.view).slice(-parameters.window.length);
    const rows = product(shapeOf(operand.view)) / product(input);
    const [name] = graph.node(
      op,
      [graph.reshape(graph.dense(operand), [1, rows, ...input])],
      [[1, rows, ...placesAlong(parameters, input)]],
      { kernel_shape: parameters.window, strides: parameters.strides },
    );
    const shape = shapeOut(equation);
    const result = graph.value(graph.reshape(name, shape), operand.dtype, shape);
    return [rescaled(result, times * (operands[0].scale ?? 1))];
  });
}
