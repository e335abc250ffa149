import { align, elementwise, positionsOf } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { reduce } from "./reduce.js";
import { type Factor, product, shapeOf, sizes, type View } from "./view.js";

/**
 * `sum(x * y, axis = -1)`, jax-js's only product, as a matrix product.
 *
 * Each factor of the broadcast shape is one of: batch (both operands have it), left or right (one has it, the other
 * repeats it), contracted (summed, both have it). What only one operand has of the summed axis is summed in it first,
 * and what neither has multiplies the result. `cost` compares layouts of the result for the sake of what follows.
 */
export function dot(
  graph: Graph,
  x: Value,
  y: Value,
  outputShape: readonly number[],
  cost: (layout: View) => number,
): Value {
  const depth = Math.max(shapeOf(x.view).at(-1) as number, shapeOf(y.view).at(-1) as number);
  const [left, right] = align(graph, [x, y], [...outputShape, depth]);
  const summed = left.view.axes.length - 1;

  const sharesNothing = (value: Value, other: Value) =>
    value.view.axes[summed].every((factor, k) => !(factor.real && other.view.axes[summed][k].real));
  if (sharesNothing(left, right)) {
    // sum(x) * sum(y) holds axis by axis here; each virtual factor of one is real, or counted, in the other.
    return outerProduct(graph, left, right, outputShape, summed);
  }
  const onlyOne = left.view.axes[summed].some((factor, k) => factor.real !== right.view.axes[summed][k].real);
  const neither = left.view.axes[summed].some(
    (factor, k) => !factor.real && !right.view.axes[summed][k].real,
  );
  if (onlyOne || neither) {
    return dot(graph, sumAlone(graph, left, right), sumAlone(graph, right, left, true), outputShape, cost);
  }
  return matrixProduct(graph, left, right, outputShape, cost);
}

/** Sums out the last-axis factors that the other operand only repeats; drops those so summed in the other. */
function sumAlone(graph: Graph, value: Value, other: Value, countNeither = false): Value {
  const last = value.view.axes.length - 1;
  const factors = value.view.axes[last];
  const others = other.view.axes[last];
  // The last axis is opened into one axis for each factor, so that single factors can be reduced.
  const opened: Value = {
    ...value,
    view: {
      physical: value.view.physical,
      axes: [...value.view.axes.slice(0, last), ...factors.map((f) => [f])],
    },
  };
  const gone = factors.flatMap((factor, k) => {
    const alone = factor.real && !others[k].real;
    const neither = !factor.real && !others[k].real;
    return alone || (neither && countNeither) ? [last + k] : [];
  });
  const kept = factors.filter((factor, k) => factor.real && others[k].real);
  const reduced = gone.length > 0 ? reduce(graph, opened, "Add", gone) : opened;
  return {
    ...reduced,
    view: { physical: reduced.view.physical, axes: [...reduced.view.axes.slice(0, last), kept] },
  };
}

function outerProduct(
  graph: Graph,
  left: Value,
  right: Value,
  shape: readonly number[],
  summed: number,
): Value {
  const a = sumAlone(graph, left, right);
  const b = sumAlone(graph, right, left, true);
  const drop = (value: Value): Value => ({
    ...value,
    view: { physical: value.view.physical, axes: value.view.axes.slice(0, summed) },
  });
  return elementwise(graph, "Mul", [drop(a), drop(b)], shape, left.dtype);
}

function matrixProduct(
  graph: Graph,
  left: Value,
  right: Value,
  outputShape: readonly number[],
  cost: (layout: View) => number,
): Value {
  const a = positionsOf(left);
  const b = positionsOf(right);
  const depthStart = a.length - left.view.axes.at(-1)!.length;
  const all = a.map((_, p) => p);
  const contracted = all.filter((p) => p >= depthStart);
  const batch = all.filter((p) => p < depthStart && a[p].real && b[p].real);
  let leftOnly = all.filter((p) => p < depthStart && a[p].real && !b[p].real);
  let rightOnly = all.filter((p) => p < depthStart && !a[p].real && b[p].real);

  // With batches of vectors a product and a sum are faster than many tiny matrix products.
  if (batch.length > 0 && (leftOnly.length === 0 || rightOnly.length === 0)) {
    const products = elementwise(
      graph,
      "Mul",
      [left, right],
      [...outputShape, product(contracted.map((p) => a[p].size))],
      left.dtype,
    );
    return reduce(graph, products, "Add", [outputShape.length]);
  }

  // What one operand has once and the other once for each of a batch, e.g. data and the weights of many models.
  const spread = batch.length === 0 ? spreadOf(left, a, leftOnly, contracted, rightOnly) : [];
  if (batch.length === 0 && spread.length === 0) {
    spread.push(...spreadOf(right, b, rightOnly, contracted, leftOnly));
  }
  leftOnly = leftOnly.filter((p) => !spread.includes(p));
  rightOnly = rightOnly.filter((p) => !spread.includes(p));

  /** The result with its real factors in the given order. */
  const resultView = (order: readonly number[]): View => {
    const result = a.map((factor, p) => ({ size: factor.size, real: order.includes(p) }));
    let next = 0;
    const axes = left.view.axes.slice(0, -1).map((axis) => axis.map(() => result[next++]));
    return { physical: order.map((p) => result[p]), axes };
  };
  const rowsFirst = cost(resultView([...spread, ...batch, ...leftOnly, ...rightOnly]));
  const columnsFirst = cost(resultView([...spread, ...batch, ...rightOnly, ...leftOnly]));
  const swapped = columnsFirst < rowsFirst;
  const operand = (value: Value, positions: Factor[], own: readonly number[]): Operand => ({
    value,
    positions,
    own,
    spread: spread.filter((p) => positions[p].real),
  });
  const ordered = [operand(left, a, leftOnly), operand(right, b, rightOnly)];
  const [first, second] = swapped ? ordered.reverse() : ordered;

  // The orders of batch and contracted factors must agree: take them from where the fewest elements are transposed.
  const orders = (of: readonly number[]) => [inPhysicalOrder(first, of), inPhysicalOrder(second, of)];
  let best: { moved: number; batch: number[]; depth: number[] } | undefined;
  for (const batchOrder of orders(batch)) {
    for (const depthOrder of orders(contracted)) {
      const moved =
        arrangement(first, batchOrder, depthOrder).moved + arrangement(second, batchOrder, depthOrder).moved;
      if (best === undefined || moved < best.moved) best = { moved, batch: batchOrder, depth: depthOrder };
    }
  }
  const chosen = best as NonNullable<typeof best>;
  const one = arrangement(first, chosen.batch, chosen.depth);
  const two = arrangement(second, chosen.batch, chosen.depth);

  const size = (list: readonly number[]) => product(list.map((p) => a[p].size));
  const batchDims = chosen.batch.length > 0 ? [size(chosen.batch)] : [];
  const dimsOf = ({ spread }: Operand) => (spread.length > 0 ? [size(spread)] : batchDims);
  const [rows, columns, depth] = [size(one.own), size(two.own), size(chosen.depth)];
  const lhs = stack(graph, first, one, dimsOf(first), [rows, depth]);
  const rhs = stack(graph, second, two, dimsOf(second), [columns, depth]);
  const rhsTransposed = flipLast(
    graph,
    rhs,
    dimsOf(second),
    two.depthFirst ? [depth, columns] : [columns, depth],
    !two.depthFirst,
  );
  const lhsReady = flipLast(
    graph,
    lhs,
    dimsOf(first),
    one.depthFirst ? [depth, rows] : [rows, depth],
    one.depthFirst,
  );
  const outputDims = spread.length > 0 ? [size(spread)] : batchDims;
  const [name] = graph.node("MatMul", [lhsReady, rhsTransposed], [[...outputDims, rows, columns]]);

  const order = [...spread, ...chosen.batch, ...one.own, ...two.own];
  return { name, dtype: left.dtype, view: resultView(order) };
}

interface Operand {
  value: Value;
  positions: Factor[];
  /** Positions that only this operand has. */
  own: readonly number[];
  /** Those of them, not in `own`, by which it is a batch of matrices where the other operand is one matrix. */
  spread: readonly number[];
}

/** Products of fewer multiply-and-adds cost more each than rearranging what would make them one product. */
const WORTH_A_PRODUCT = 16_384;

/**
 * The slowest of an operand's own positions, where the contracted ones lie between them and the others: taken as a
 * batch, the operand need not be rearranged, nor the other repeated.
 */
function spreadOf(
  value: Value,
  positions: readonly Factor[],
  own: readonly number[],
  contracted: readonly number[],
  others: readonly number[],
): number[] {
  const lies = value.view.physical.map((factor) => positions.indexOf(factor));
  const start = lies.findIndex((p) => contracted.includes(p));
  const end = start + contracted.length;
  const together = lies.slice(start, end).every((p) => contracted.includes(p));
  if (!together || start === 0 || end === lies.length) return [];
  const slowest = lies.slice(0, start);
  const sizeOf = (list: readonly number[]) => product(list.map((p) => positions[p].size));
  const each = sizeOf(own.filter((p) => !slowest.includes(p))) * sizeOf(contracted) * sizeOf(others);
  return each < WORTH_A_PRODUCT ? [] : slowest;
}

const inPhysicalOrder = ({ value, positions }: Operand, list: readonly number[]): number[] => {
  const rank = new Map(value.view.physical.map((factor, i) => [factor, i]));
  return [...list].sort((p, q) => (rank.get(positions[p]) as number) - (rank.get(positions[q]) as number));
};

/** How an operand is laid out for a product: batch first, then its own axes and the contracted ones in either order. */
function arrangement(operand: Operand, batch: readonly number[], depth: readonly number[]) {
  const own = inPhysicalOrder(operand, operand.own);
  const { positions, spread } = operand;
  const physical = operand.value.view.physical.filter(
    (factor) => !spread.some((p) => positions[p] === factor),
  );
  const lies = (order: readonly number[]) => order.every((p, i) => positions[p] === physical[i]);
  if (lies([...batch, ...own, ...depth])) return { own, depth, batch, depthFirst: false, moved: 0 };
  if (lies([...batch, ...depth, ...own])) return { own, depth, batch, depthFirst: true, moved: 0 };
  // It has to be copied: keep the fastest dimension the fastest, which makes the cheaper copy, and one that the
  // gradients of the same product can share.
  const depthFirst = operand.own.some((p) => operand.positions[p] === physical.at(-1));
  return { own: [...operand.own], depth, batch, depthFirst, moved: product(sizes(physical)) };
}

/** The operand as a stack of matrices. */
function stack(
  graph: Graph,
  operand: Operand,
  chosen: ReturnType<typeof arrangement>,
  batchDims: readonly number[],
  [ownSize, depthSize]: readonly [number, number],
): string {
  const tail = chosen.depthFirst ? [...chosen.depth, ...chosen.own] : [...chosen.own, ...chosen.depth];
  const order = [...operand.spread, ...chosen.batch, ...tail].map((p) => operand.positions[p]);
  const matrix = chosen.depthFirst ? [depthSize, ownSize] : [ownSize, depthSize];
  return graph.reshape(graph.arrange(operand.value, order).name, [...batchDims, ...matrix]);
}

/** Swaps the last two dimensions. ONNX Runtime folds this transpose into the product that follows. */
function flipLast(
  graph: Graph,
  name: string,
  batchDims: readonly number[],
  matrix: readonly number[],
  flip: boolean,
): string {
  if (!flip) return name;
  const perm = batchDims.length > 0 ? [0, 2, 1] : [1, 0];
  return graph.node("Transpose", [name], [[...batchDims, matrix[1], matrix[0]]], { perm })[0];
}
