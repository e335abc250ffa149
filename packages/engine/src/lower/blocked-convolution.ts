import { type Convolution, inOrder, multiplyAddsOf, type Operand } from "./convolution.js";
import type { Graph, Value } from "./graph.js";
import { shapeOfResult } from "./phases.js";
import { contiguousView, product, transposeView } from "./view.js";
import { surrounded } from "./windows.js";

/*
 * ONNX Runtime's fast convolutions of floats. Images lie as [batch, channels / block, ...pixels, block], with as many
 * channels together as a vector register holds, and kernels as [filters / block, channels / block, ...kernel,
 * channel, filter]. ONNX Runtime uses them by itself only where the kernels are constants, which in training they are
 * not; but its operators take any. Here they reach 220 to 250 of the 300 GFLOP/s of a large product of matrices,
 * where the standard operator reaches 115 to 155, and a change of layout costs a twentieth of a convolution.
 * In the graph a blocked tensor is declared with the shape [batch, channels, height, width].
 */
export const BLOCKED_DOMAIN = "com.microsoft.nchwc";

/** Below this the changes of layout cost more than they bring. */
const SMALLEST_MULTIPLY_ADDS = 1e6;

const isWhole = (size: number, block: number) => size % block === 0;

export function isBlocked(convolution: Convolution, block: number): boolean {
  const { groups, channels, filters, input } = convolution;
  if (block === 1 || input.length > 2 || multiplyAddsOf(convolution) < SMALLEST_MULTIPLY_ADDS) return false;
  const wasted = Math.ceil(filters / block) * block > 1.5 * filters;
  if (groups === 1) return !wasted && (channels < block || isWhole(channels, block));
  return isWhole(filters, block) && isWhole(channels, block);
}

/** Takes dense images and kernels; gives a blocked tensor. */
export function blockedConvolution(
  graph: Graph,
  images: string,
  kernels: string,
  convolution: Convolution,
  block: number,
): string {
  const { batch, groups, channels, filters, input, kernel, output } = convolution;
  const [height, width] = flat(input);
  const shape = [batch, groups * channels, height, width];
  const square = graph.reshape(images, shape);
  const ready =
    channels < block ? square : graph.node("ReorderInput", [square], [shape], {}, BLOCKED_DOMAIN)[0];

  const blocks = Math.ceil((groups * filters) / block);
  const filled = surrounded(
    graph,
    graph.reshape(kernels, [groups * filters, channels * product(kernel)]),
    "float32",
    [
      [0, blocks * block - groups * filters],
      [0, 0],
    ],
  );
  const deep = channels < block ? 1 : block;
  const taken = [blocks, block, channels / deep, deep, product(kernel)];
  const perm = [0, 2, 4, 3, 1];
  const laid = perm.map((axis) => taken[axis]);
  const [weights] = graph.node("Transpose", [graph.reshape(filled, taken)], [laid], { perm });
  const ordered = graph.reshape(weights, [blocks * block, channels, ...flat(kernel)]);
  return node(graph, ready, ordered, convolution, shapeOfResult(batch, groups * filters, output, block));
}

/** A blocked result in ONNX's order. */
export function unblocked(
  graph: Graph,
  name: string,
  { batch, groups, filters, output }: Convolution,
  block: number,
): string {
  const channels = groups * filters;
  const attributes = { channels };
  const shape = [batch, channels, ...flat(output)];
  const blocked = graph.reshape(name, shapeOfResult(batch, channels, flat(output), block));
  const [dense] = graph.node("ReorderOutput", [blocked], [shape], attributes, BLOCKED_DOMAIN);
  return graph.reshape(dense, [batch, channels, ...output]);
}

function node(
  graph: Graph,
  images: string,
  kernels: string,
  { groups, kernel, strides, dilation, padding }: Convolution,
  shape: readonly number[],
): string {
  const [above, left] = flat(padding, [0, 0]);
  const attributes = {
    kernel_shape: flat(kernel),
    strides: flat(strides),
    dilations: flat(dilation),
    pads: [above[0], left[0], above[1], left[1]],
    group: groups,
  };
  const [batch, channels, ...output] = shape;
  const [name] = graph.node(
    "Conv",
    [images, kernels],
    [[batch, channels, ...flat(output)]],
    attributes,
    BLOCKED_DOMAIN,
  );
  return name;
}

/** One axis as two. */
const flat = <T>(list: readonly T[], one: T = 1 as T): T[] =>
  list.length === 1 ? [one, ...list] : [...list];

/** The share of the summed channels that one group of `blockedFewOutputs` adds up. */
const SUMMED_TOGETHER = 8;

/** A single place leaves the processor waiting for one sum: then a product of matrices is faster. */
export const isBlockedFewOutputs = (convolution: Convolution, block: number): boolean =>
  block > SUMMED_TOGETHER &&
  convolution.input.length <= 2 &&
  (convolution.output.at(-1) as number) > 1 &&
  multiplyAddsOf(convolution) >= SMALLEST_MULTIPLY_ADDS &&
  isWhole(convolution.channels, block) &&
  isWhole(convolution.filters, block);

/**
 * A convolution with a large kernel and few places to put it: in groups of a few channels each, whose images the
 * fast convolutions take as they lie; the groups' results are added up. Gives [batch, groups, filters, ...output].
 */
export function blockedFewOutputs(
  graph: Graph,
  lhs: Operand,
  rhs: Operand,
  convolution: Convolution,
  block: number,
): Value {
  const { batch, groups, channels, filters, input, kernel, output, padding } = convolution;
  const order = [lhs.channel, lhs.group, lhs.own, lhs.spatial];
  const images = inOrder(graph, lhs, order, [channels, groups * batch, ...flat(input)]);
  // Zeros are written out, because at the border these convolutions go pixel by pixel.
  const padded = withBorder(graph, images, flat(padding, [0, 0]), block);
  const area = graph.shapeOf(padded).slice(2);
  const value = graph.value(padded, "float32", [channels, groups, batch, ...area]);
  const turned = graph.dense({ ...value, view: transposeView(value.view, [2, 1, 0, 3, 4]) });
  const whole = graph.reshape(turned, [batch, groups * channels, ...area]);

  const [height, width] = flat(kernel);
  const chunks = channels / SUMMED_TOGETHER;
  const blocks = filters / block;
  const kernels = graph.reshape(
    inOrder(
      graph,
      rhs,
      [rhs.channel, rhs.group, rhs.own, rhs.spatial],
      [channels, groups * filters, height, width],
    ),
    [channels, groups * filters, height, width],
  );
  const [reordered] = graph.node(
    "ReorderInput",
    [kernels],
    [[channels, groups * filters, height, width]],
    {},
    BLOCKED_DOMAIN,
  );
  const laid = graph.value(reordered, "float32", [
    chunks,
    SUMMED_TOGETHER,
    groups,
    blocks,
    height * width * block,
  ]);
  const [chunk, summed, group, filter, rest] = laid.view.axes;
  const factors = [...group, ...chunk, ...filter, ...summed, ...rest];
  const weights = graph.reshape(graph.arrange(laid, factors).name, [
    groups * chunks * filters,
    SUMMED_TOGETHER,
    height,
    width,
  ]);
  const split = {
    ...convolution,
    groups: groups * chunks,
    channels: SUMMED_TOGETHER,
    padding: padding.map(() => [0, 0] as const),
  };
  const result = node(graph, whole, weights, split, [batch, groups * chunks * filters, ...output]);
  const parts = graph.reshape(result, [batch, groups, chunks, blocks * product(output) * block]);
  const [sum] = graph.node(
    "ReduceSum",
    [parts, graph.integers([2])],
    [[batch, groups, blocks * product(output) * block]],
    { keepdims: 0 },
  );
  const view = contiguousView([batch, groups, blocks, ...output, block]);
  const [b, g, slow, ...others] = view.axes;
  const fast = others.at(-1) as (typeof others)[number];
  return {
    name: sum,
    dtype: "float32",
    view: { physical: view.physical, axes: [b, g, [...slow, ...fast], ...others.slice(0, -1)] },
  };
}

/**
 * Zeros around images, by a convolution that copies each channel: ONNX Runtime shares that out among threads, where
 * its Pad has one of them fetch what the others have made.
 */
function withBorder(
  graph: Graph,
  images: string,
  padding: readonly (readonly [number, number])[],
  block: number,
): string {
  const [batch, channels, ...input] = graph.shapeOf(images);
  const isPadded = padding.some(([before, after]) => before + after > 0);
  if (!isPadded || !isWhole(channels, block)) return surrounded(graph, images, "float32", padding);
  const copying: Convolution = {
    batch,
    groups: channels,
    channels: 1,
    filters: 1,
    input,
    kernel: [1, 1],
    output: input.map((size, axis) => padding[axis][0] + size + padding[axis][1]),
    strides: [1, 1],
    dilation: [1, 1],
    padding,
  };
  const [blocked] = graph.node("ReorderInput", [images], [[batch, channels, ...input]], {}, BLOCKED_DOMAIN);
  const ones = graph.constant("float32", [channels, 1, 1, 1], new Float32Array(channels).fill(1)).name;
  const copied = node(graph, blocked, ones, copying, [batch, channels, ...copying.output]);
  return unblocked(graph, copied, copying, block);
}
