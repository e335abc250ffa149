import { type Array as JaxArray, numpy as np } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";

/** Points whose distances to all others are computed at a time. */
const BLOCK = 500;

/**
 * For each point the `k` nearest by Euclidean distance, the nearest first: `[points, k]`. With `self` a point is its own
 * nearest.
 *
 * @param features float32 `[points, width]`
 */
export async function nearestNeighbours(
  features: Tensor,
  k: number,
  { self }: { self: boolean },
): Promise<Int32Array> {
  const [points, width] = features.shape;
  const most = self ? points : points - 1;
  if (!(Number.isSafeInteger(k) && k >= 1 && k <= most)) {
    throw new RangeError(`${k} neighbours of ${points} points, expected 1 to ${most}.`);
  }
  const block = Math.min(BLOCK, points);
  const rows = (start: number) =>
    new Tensor((features.data as Float32Array).slice(start * width, (start + block) * width), [block, width]);
  // |a - b|² less |a|², which is the same for all b.
  const program = await compile(
    (some: JaxArray, all: JaxArray) => np.square(all).sum(-1).sub(np.matmul(some, all.transpose()).mul(2)),
    [rows(0), features],
    { name: "distances" },
  );
  const nearest = new Int32Array(points * k);
  try {
    for (let start = 0; start < points; start += block) {
      // The last block ends with the last point, and repeats some of the one before.
      const first = Math.min(start, points - block);
      const distances = (await program.run(rows(first), features)).data as Float32Array;
      for (let i = 0; i < block; i++) {
        const own = distances.subarray(i * points, (i + 1) * points);
        // Rounding must not put another point before itself.
        own[first + i] = self ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
        smallest(own, k, nearest.subarray((first + i) * k, (first + i + 1) * k));
      }
    }
  } finally {
    await program.dispose();
  }
  return nearest;
}

/** Writes the places of the `out.length` smallest values, ascending; of equals the first. */
function smallest(values: Float32Array, k: number, out: Int32Array): void {
  let found = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (found === k && !(value < values[out[k - 1]])) continue;
    let at = found < k ? found++ : k - 1;
    while (at > 0 && values[out[at - 1]] > value) {
      out[at] = out[at - 1];
      at--;
    }
    out[at] = i;
  }
}

/** The largest strongly connected component of a directed graph, ascending; of equals that with the lowest point (Tarjan 1972). */
export function largestComponent(edges: readonly ArrayLike<number>[]): Int32Array {
  const count = edges.length;
  const order = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const open = new Uint8Array(count);
  const stack: number[] = [];
  let next = 0;
  let largest: number[] = [];
  for (let root = 0; root < count; root++) {
    if (order[root] >= 0) continue;
    // Its own stack, because chains of points may be longer than that of calls.
    const path: { point: number; edge: number }[] = [{ point: root, edge: 0 }];
    while (path.length > 0) {
      const top = path[path.length - 1];
      const { point } = top;
      if (top.edge === 0) {
        order[point] = low[point] = next++;
        open[point] = 1;
        stack.push(point);
      }
      if (top.edge < edges[point].length) {
        const target = edges[point][top.edge++];
        if (order[target] < 0) path.push({ point: target, edge: 0 });
        else if (open[target]) low[point] = Math.min(low[point], order[target]);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent) low[parent.point] = Math.min(low[parent.point], low[point]);
      if (low[point] !== order[point]) continue;
      const component = stack.splice(stack.lastIndexOf(point));
      for (const member of component) open[member] = 0;
      const isLarger =
        component.length > largest.length ||
        (component.length === largest.length && Math.min(...component) < Math.min(...largest));
      if (isLarger) largest = component;
    }
  }
  return Int32Array.from(largest).sort();
}
