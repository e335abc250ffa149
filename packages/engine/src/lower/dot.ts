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
  const leftOnly = all.filter((p) => p < depthStart && a[p].real && !b[p].real);
  const rightOnly = all.filter((p) => p < depthStart && !a[p].real && b[p].real);

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

  /** The result with its real factors in the given order. */
  const resultView = (order: readonly number[]): View => {
    const result = a.map((factor, p) => ({ size: factor.size, real: order.includes(p) }));
    let next = 0;
    const axes = left.view.axes.slice(0, -1).map((axis) => axis.map(() => result[next++]));
    return { physical: order.map((p) => result[p]), axes };
  };
  const rowsFirst = cost(resultView([...batch, ...leftOnly, ...rightOnly]));
  const columnsFirst = cost(resultView([...batch, ...rightOnly, ...leftOnly]));
  const swapped = columnsFirst < rowsFirst;
  const first: Operand = swapped
    ? { value: right, positions: b, own: rightOnly }
    : { value: left, positions: a, own: leftOnly };
  const second: Operand = swapped
    ? { value: left, positions: a, own: leftOnly }
    : { value: right, positions: b, own: rightOnly };

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
  const [rows, columns, depth] = [size(one.own), size(two.own), size(chosen.depth)];
  const lhs = stack(graph, first, one, batchDims, [rows, depth]);
  const rhs = stack(graph, second, two, batchDims, [columns, depth]);
  const rhsTransposed = flipLast(
    graph,
    rhs,
    batchDims,
    two.depthFirst ? [depth, columns] : [columns, depth],
    !two.depthFirst,
  );
  const lhsReady = flipLast(
    graph,
    lhs,
    batchDims,
    one.depthFirst ? [depth, rows] : [rows, depth],
    one.depthFirst,
  );
  const [name] = graph.node("MatMul", [lhsReady, rhsTransposed], [[...batchDims, rows, columns]]);

  return { name, dtype: left.dtype, view: resultView([...chosen.batch, ...one.own, ...two.own]) };
}

interface Operand {
  value: Value;
  positions: Factor[];
  /** Positions that only this operand has. */
  own: readonly number[];
}

const inPhysicalOrder = ({ value, positions }: Operand, list: readonly number[]): number[] => {
  const rank = new Map(value.view.physical.map((factor, i) => [factor, i]));
  return [...list].sort((p, q) => (rank.get(positions[p]) as number) - (rank.get(positions[q]) as number));
};

/** How an operand is laid out for a product: batch first, then its own axes and the contracted ones in either order. */
function arrangement(operand: Operand, batch: readonly number[], depth: readonly number[]) {
  const own = inPhysicalOrder(operand, operand.own);
  const physical = operand.value.view.physical;
  const lies = (order: readonly number[]) => order.every((p, i) => operand.positions[p] === physical[i]);
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
  const order = [...chosen.batch, ...tail].map((p) => operand.positions[p]);
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
