import type { OnnxDType } from "../onnx/model.js";
import type { Convolution } from "./convolution.js";
import type { Graph } from "./graph.js";
import { product } from "./view.js";
import { combinations, strided } from "./windows.js";

/**
 * Convolutions of images with zeros between their pixels, as the gradient of a strided one is.
 *
 * With `L - 1` zeros between pixels, strides `S`, kernel dilation `d` and `p` zeros in front, output `o` meets pixel
 * `(o S + k d - p) / L` by kernel position `k`, where that is a whole number. Outputs with the same remainder by
 * `P = L / gcd(L, S)` meet pixels by the same positions: each remainder is a small convolution of the images as they
 * are, and the results are interleaved. No zero is multiplied.
 */
interface Phase {
  /** Every `step`-th position of the kernel from `start` on. */
  readonly start: number;
  readonly step: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padding: readonly [number, number];
}

/** The phases of one axis, by remainder; null for a remainder whose outputs meet no pixel. */
export function phasesOfAxis(
  { input, kernel, output, strides, dilation, padding }: Convolution,
  lhsDilation: readonly number[],
  axis: number,
): (Phase | null)[] {
  const [spacing, stride, spread] = [lhsDilation[axis], strides[axis], dilation[axis]];
  const [before] = padding[axis];
  const count = spacing / gcd(spacing, stride);
  const outputs = Math.ceil(output[axis] / count);
  return Array.from({ length: count }, (_, remainder) => {
    const offset = (k: number) => remainder * stride + k * spread - before;
    const positions = Array.from({ length: kernel[axis] }, (_, k) => k).filter(
      (k) => offset(k) % spacing === 0,
    );
    if (positions.length === 0) return null;
    const step = spacing / gcd(spacing, spread);
    const phase = {
      start: positions[0],
      step,
      kernel: positions.length,
      stride: (stride * count) / spacing,
      dilation: (step * spread) / spacing,
    };
    const first = offset(phase.start) / spacing;
    const last = first + (outputs - 1) * phase.stride + (phase.kernel - 1) * phase.dilation;
    return { ...phase, padding: [0 - first, last - (input[axis] - 1)] };
  });
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Runs a convolution for each phase and interleaves the results, whose channels lie in blocks of `inner`. */
export function phases(
  graph: Graph,
  dtype: OnnxDType,
  kernels: string,
  convolution: Convolution,
  lhsDilation: readonly number[],
  inner: number,
  run: (kernels: string, convolution: Convolution) => string,
): string {
  const { output } = convolution;
  const byAxis = output.map((_, axis) => phasesOfAxis(convolution, lhsDilation, axis));
  const outputs = output.map((size, axis) => Math.ceil(size / byAxis[axis].length));

  const results = combinations(byAxis).map((phase) => {
    if (phase.includes(null)) return zerosOf(graph, dtype, { ...convolution, output: outputs }, inner);
    const chosen = phase as Phase[];
    const kernel = chosen.map((part) => part.kernel);
    const part = strided(
      graph,
      kernels,
      chosen.map(({ start }) => start),
      chosen.map(({ step }) => step),
      kernel,
    );
    return run(part, {
      ...convolution,
      kernel,
      output: outputs,
      strides: chosen.map(({ stride }) => stride),
      dilation: chosen.map((part) => part.dilation),
      padding: chosen.map((part) => part.padding),
    });
  });
  return interleaved(
    graph,
    results,
    convolution,
    byAxis.map((list) => list.length),
    inner,
  );
}

/** Joins results by phase, the last axis's phases fastest; cuts what stands over. */
export function interleaved(
  graph: Graph,
  results: readonly string[],
  { batch, groups, filters, output }: Pick<Convolution, "batch" | "groups" | "filters" | "output">,
  counts: readonly number[],
  inner: number,
): string {
  const rows = blocksOf(batch, groups * filters, inner);
  const sizes = output.map((size, axis) => Math.ceil(size / counts[axis]));
  let parts = [...results];
  for (let axis = output.length - 1; axis >= 0; axis--) {
    // One tensor from each neighbouring `count` of them: the positions before this axis, and all that is joined behind.
    const count = counts[axis];
    const slower = rows * product(sizes.slice(0, axis + 1));
    const faster =
      inner *
      output.slice(axis + 1).reduce((size, _, i) => size * sizes[axis + 1 + i] * counts[axis + 1 + i], 1);
    parts = Array.from({ length: parts.length / count }, (_, i) => {
      const same = parts
        .slice(i * count, (i + 1) * count)
        .map((part) => graph.reshape(part, [slower, faster]));
      return count === 1 ? same[0] : graph.node("Concat", same, [[slower, count * faster]], { axis: 1 })[0];
    });
  }
  const whole = sizes.map((size, axis) => size * counts[axis]);
  const joined = graph.reshape(parts[0], [rows, ...whole, inner]);
  const steps = [...output.map(() => 1), 1];
  const cut = strided(
    graph,
    joined,
    steps.map(() => 0),
    steps,
    [...output, inner],
  );
  return graph.reshape(cut, shapeOfResult(batch, groups * filters, output, inner));
}

/** Images times blocks of channels, the last of which may be filled up. */
const blocksOf = (batch: number, channels: number, inner: number): number =>
  batch * Math.ceil(channels / inner);

/** The shape under which a result stands whose channels lie in blocks: the channels filled up to whole blocks. */
export const shapeOfResult = (
  batch: number,
  channels: number,
  output: readonly number[],
  inner: number,
): number[] => [batch, Math.ceil(channels / inner) * inner, ...output];

/** A result of zeros. */
export function zerosOf(
  graph: Graph,
  dtype: OnnxDType,
  { batch, groups, filters, output }: Convolution,
  inner: number,
): string {
  return zeros(graph, dtype, shapeOfResult(batch, groups * filters, output, inner));
}

/** Zeros. */
export const zeros = (graph: Graph, dtype: OnnxDType, shape: readonly number[]): string =>
  graph.node("Expand", [graph.scalar(dtype, 0).name, graph.integers(shape)], [[...shape]])[0];

/** The images without what negative padding cuts off; null where nothing is left that the kernel could meet. */
export function cropped(
  graph: Graph,
  images: string,
  convolution: Convolution,
): { images: string; convolution: Convolution } | null {
  const { input, padding } = convolution;
  if (padding.every(([before, after]) => before >= 0 && after >= 0)) return { images, convolution };
  const starts = padding.map(([before]) => Math.max(0, -before));
  const ends = padding.map(([, after], axis) => input[axis] - Math.max(0, -after));
  if (starts.some((start, axis) => start >= ends[axis])) return null;
  const kept = ends.map((end, axis) => end - starts[axis]);
  const name = strided(
    graph,
    images,
    starts,
    starts.map(() => 1),
    kept,
  );
  const left = padding.map(([before, after]) => [Math.max(0, before), Math.max(0, after)] as const);
  return { images: name, convolution: { ...convolution, input: kept, padding: left } };
}
