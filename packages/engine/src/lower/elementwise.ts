import type { Attribute, OnnxDType } from "../onnx/model.js";
import type { Graph, Value } from "./graph.js";
import { broadcastTo, type Factor, product, refine, sizes, type View } from "./view.js";

export { cast } from "./cast.js";

/** Brings values to one shape and cuts their axes alike; writes out what cannot be cut. */
export function align(graph: Graph, values: readonly Value[], shape: readonly number[]): Value[] {
  const widened = values.map((value) => ({ ...value, view: broadcastTo(value.view, shape) }));
  let views = refine(widened.map((value) => value.view));
  if (views === null) {
    const written = widened.map((value) =>
      value.view.axes.every((axis) => axis.length <= 1) ? value : graph.materialise(value),
    );
    views = refine(written.map((value) => value.view));
    if (views === null) throw new Error("internal: dense values could not be aligned");
    return written.map((value, i) => ({ ...value, view: (views as NonNullable<typeof views>)[i] }));
  }
  const aligned = views;
  return widened.map((value, i) => ({ ...value, view: aligned[i] }));
}

/** Where a factor stands: positions count through the axes, slowest first, alike in all aligned views. */
export const positionsOf = (value: Value): Factor[] => value.view.axes.flat();

/** The cheapest order in which to compute: the fewest elements transposed, row-major where that is a tie. */
function computationOrder(values: readonly Value[], positions: readonly Factor[][]): number[] {
  const count = positions[0].length;
  const present = Array.from({ length: count }, (_, p) => p).filter((p) =>
    positions.some((list) => list[p].real),
  );
  const physicalOrders = values.map((value, i) =>
    value.view.physical.map((factor) => positions[i].indexOf(factor)),
  );
  const candidates = [present, ...physicalOrders.map((order) => insertMissing(order, present))];
  const cost = (candidate: number[]) =>
    physicalOrders.reduce((total, order, i) => {
      const wanted = candidate.filter((p) => positions[i][p].real);
      const same = wanted.every((p, k) => p === order[k]);
      return total + (same ? 0 : product(sizes(values[i].view.physical)));
    }, 0);
  return candidates.reduce((best, candidate) => (cost(candidate) < cost(best) ? candidate : best));
}

/** `order` with the positions it lacks put in after their logical predecessor. */
function insertMissing(order: readonly number[], present: readonly number[]): number[] {
  const full = [...order];
  for (const p of present) {
    if (full.includes(p)) continue;
    const before = present
      .slice(0, present.indexOf(p))
      .reverse()
      .find((q) => full.includes(q));
    full.splice(before === undefined ? 0 : full.indexOf(before) + 1, 0, p);
  }
  return full;
}

/**
 * One element-wise operator. Operands that are repeated along an axis stay repeated; operands that lie transposed in
 * the same way are computed with as they lie.
 */
export function elementwise(
  graph: Graph,
  op: string,
  operands: readonly Value[],
  shape: readonly number[],
  dtype: OnnxDType,
  attributes: Readonly<Record<string, Attribute>> = {},
): Value {
  const values = align(graph, operands, shape);
  const positions = values.map(positionsOf);
  const order = computationOrder(values, positions);

  // Neighbouring positions that exist in the same operands become one dimension.
  const groups: number[][] = [];
  for (const p of order) {
    const last = groups.at(-1);
    if (last && positions.every((list) => list[p].real === list[last[0]].real)) last.push(p);
    else groups.push([p]);
  }
  const arranged = values.map(
    (value, i) =>
      graph.arrange(
        value,
        order.filter((p) => positions[i][p].real).map((p) => positions[i][p]),
      ).name,
  );
  const whole = arranged.filter((_, i) => values[i].view.physical.length === order.length);
  const scalars = values.filter((value) => value.view.physical.length === 0);
  let outputShape = groups.map((group) => product(group.map((p) => positions[0][p].size)));
  if (whole.length > 0 && whole.length + scalars.length === values.length) {
    // No operand is repeated along some axes only: any one shape will do, so take one that is there already.
    outputShape = [...graph.shapeOf(whole[0])];
  }
  const inputs = values.map((value, i) => {
    if (value.view.physical.length === 0) return graph.reshape(arranged[i], []);
    if (value.view.physical.length === order.length) return graph.reshape(arranged[i], outputShape);
    const dims = groups.map((group) =>
      positions[i][group[0]].real ? product(group.map((p) => positions[i][p].size)) : 1,
    );
    const full = groups.map((group) => product(group.map((p) => positions[0][p].size)));
    while (dims.length > 0 && dims[0] === 1) {
      dims.shift();
      full.shift();
    }
    return repeatShortRows(graph, graph.reshape(arranged[i], dims), dims, full);
  });
  const [name] = graph.node(op, inputs, [outputShape], attributes);

  const result = positions[0].map((factor, p) => ({ size: factor.size, real: order.includes(p) }));
  let next = 0;
  const axes = values[0].view.axes.map((axis) => axis.map(() => result[next++]));
  return { name, dtype, view: { physical: order.map((p) => result[p]), axes } };
}

/** Rows of up to this length are written out where they are repeated within a batch. */
const SHORT_ROW = 64;

/**
 * Biases of many small models at once, `[models, 1, width]`: ONNX Runtime computes row by row with what is repeated, so
 * that short rows take three times as long as if they were written out.
 */
function repeatShortRows(
  graph: Graph,
  name: string,
  dims: readonly number[],
  full: readonly number[],
): string {
  const last = dims.length - 1;
  const isBatchOfRows = dims.length >= 2 && dims[0] > 1 && dims[last] > 1 && dims[last - 1] === 1;
  if (!isBatchOfRows || dims[last] > SHORT_ROW) return name;
  const repeated = dims.with(last - 1, full[last - 1]);
  return graph.node("Expand", [name, graph.integers(repeated)], [repeated])[0];
}

/** The sum of two values with their scales: a difference where jax-js wrote `a + (-b)`. */
export function add(graph: Graph, a: Value, b: Value, shape: readonly number[], dtype: OnnxDType): Value {
  const [s, t] = [a.scale ?? 1, b.scale ?? 1];
  const combine = (op: "Add" | "Sub", x: Value, y: Value) =>
    elementwise(graph, op, [unscaled(x), unscaled(y)], shape, dtype);
  if (a.name === b.name && isSame(a.view, b.view) && isSafeScale(s + t)) return rescaled(a, s + t);
  if (s === t) return rescaled(combine("Add", a, b), s);
  if (s === -t) return s > 0 ? rescaled(combine("Sub", a, b), s) : rescaled(combine("Sub", b, a), t);
  if (t === -1) return combine("Sub", graph.settle(a), b);
  if (s === -1) return combine("Sub", graph.settle(b), a);
  if (t === 1) return combine("Add", graph.settle(a), b);
  // ONNX Runtime folds a constant right after a product into the product.
  const free = graph.maker(a.name)?.op === "MatMul";
  if (s === 1 || free || !isSafeScale(t / s)) return combine("Add", graph.settle(a), graph.settle(b));
  return rescaled(combine("Add", a, graph.settle(rescaled(b, t / s))), s);
}

/** Whether two views of one tensor show the same. */
function isSame(a: View, b: View): boolean {
  const places = (view: View) =>
    JSON.stringify([
      sizes(view.physical),
      view.axes.map((axis) => axis.map((factor) => [factor.size, view.physical.indexOf(factor)])),
    ]);
  return places(a) === places(b);
}

/** The product of two values: a scale where one is a constant, a quotient where jax-js wrote `a * (1 / b)`. */
export function multiply(
  graph: Graph,
  a: Value,
  b: Value,
  shape: readonly number[],
  dtype: OnnxDType,
): Value {
  for (const [left, right] of [
    [a, b],
    [b, a],
  ]) {
    const constant = graph.knownScalar(right);
    if (constant !== undefined && isSafeScale(constant * (left.scale ?? 1))) {
      return rescaled({ ...left, view: broadcastTo(left.view, shape) }, constant * (left.scale ?? 1));
    }
  }
  const scale = (a.scale ?? 1) * (b.scale ?? 1);
  if (!isSafeScale(scale)) return multiply(graph, graph.settle(a), graph.settle(b), shape, dtype);
  if (Math.abs(scale) !== 1) {
    // On a scalar, e.g. a learning rate, a scale costs nothing; on the product it may come to cost a pass.
    const [small, large] = extent(a) < extent(b) ? [a, b] : [b, a];
    if (NEGLIGIBLE * extent(small) <= extent(large)) {
      return multiply(graph, graph.settle(rescaled(small, scale)), unscaled(large), shape, dtype);
    }
  }
  for (const [left, right] of [
    [a, b],
    [b, a],
  ]) {
    const maker = graph.maker(right.name);
    if (maker?.op === "Reciprocal") {
      const divisor = { ...unscaled(right), name: maker.inputs[0] };
      return rescaled(elementwise(graph, "Div", [unscaled(left), divisor], shape, dtype), scale);
    }
  }
  return rescaled(elementwise(graph, "Mul", [unscaled(a), unscaled(b)], shape, dtype), scale);
}

/** What is that many times smaller than the result may be passed over once more. */
const NEGLIGIBLE = 1000;

const extent = (value: Value): number => product(sizes(value.view.physical));

/** Scales that neither overflow nor vanish when they are multiplied together and by an ordinary number. */
export const isSafeScale = (scale: number): boolean => Math.abs(scale) < 1e15 && Math.abs(scale) > 1e-15;

export const unscaled = ({ scale: _, ...value }: Value): Value => value;

export const rescaled = (value: Value, scale: number): Value =>
  scale === 1 ? unscaled(value) : { ...value, scale };
