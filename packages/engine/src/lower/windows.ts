import type { Graph } from "./graph.js";

/** One of each list, the last list fastest. */
export function combinations<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((all, list) => all.flatMap((head) => list.map((item) => [...head, item])), [[]]);
}

/** All places of a grid, in row-major order. */
export const placesOf = (shape: readonly number[]): number[][] =>
  combinations(shape.map((size) => Array.from({ length: size }, (_, i) => i)));

/** Along the last axes of a tensor: `counts` elements from `starts`, `steps` apart. */
export function strided(
  graph: Graph,
  name: string,
  starts: readonly number[],
  steps: readonly number[],
  counts: readonly number[],
): string {
  const shape = graph.shapeOf(name);
  const lead = shape.length - counts.length;
  const cut = counts.flatMap((count, i) => (count === shape[lead + i] ? [] : [i]));
  if (cut.length === 0) return name;
  const list = (of: (i: number) => number) => graph.integers(cut.map(of));
  return graph.node(
    "Slice",
    [
      name,
      list((i) => starts[i]),
      list((i) => starts[i] + steps[i] * (counts[i] - 1) + 1),
      list((i) => lead + i),
      list((i) => steps[i]),
    ],
    [[...shape.slice(0, lead), ...counts]],
  )[0];
}

/** Zeros around the last axes of a tensor. */
export function surrounded(
  graph: Graph,
  name: string,
  dtype: Parameters<Graph["scalar"]>[0],
  padding: readonly (readonly [number, number])[],
): string {
  if (padding.every(([before, after]) => before === 0 && after === 0)) return name;
  const shape = graph.shapeOf(name);
  const lead = new Array<number>(shape.length - padding.length).fill(0);
  const before = [...lead, ...padding.map(([amount]) => amount)];
  const after = [...lead, ...padding.map(([, amount]) => amount)];
  return graph.node(
    "Pad",
    [name, graph.integers([...before, ...after]), graph.scalar(dtype, 0).name],
    [shape.map((size, axis) => before[axis] + size + after[axis])],
    { mode: "constant" },
  )[0];
}
