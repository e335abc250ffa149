import { UnsupportedPrimitiveError } from "../errors.js";
import type { Equation } from "../trace.js";
import {
  blockedConvolution,
  blockedFewOutputs,
  isBlocked,
  isBlockedFewOutputs,
  unblocked,
} from "./blocked-convolution.js";
import { cast, isSafeScale, rescaled, unscaled } from "./elementwise.js";
import { fewOutputs, isFewOutputs, shiftedProducts } from "./few-outputs.js";
import type { Graph, Value } from "./graph.js";
import { cropped, phases, zerosOf } from "./phases.js";
import { aware, dtypeOut, type Rule } from "./rule.js";
import { product, reshapeView, sizes } from "./view.js";

/** What jax-js gives with a `conv` equation, one entry for each spatial axis. */
interface ConvolutionParameters {
  readonly vmapDims: number;
  readonly strides: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  readonly lhsDilation: readonly number[];
  readonly rhsDilation: readonly number[];
}

/**
 * A convolution in ONNX's terms: images `[batch, groups * channels, ...input]` and kernels
 * `[groups * filters, channels, ...kernel]` give `[batch, groups * filters, ...output]`.
 */
export interface Convolution {
  readonly batch: number;
  readonly groups: number;
  /** Of one group. */
  readonly channels: number;
  /** Of one group. */
  readonly filters: number;
  readonly input: readonly number[];
  readonly kernel: readonly number[];
  readonly output: readonly number[];
  readonly strides: readonly number[];
  /** Of the kernel. */
  readonly dilation: readonly number[];
  /** Zeros before and after each axis; fewer than none where the image is cut. */
  readonly padding: readonly (readonly [number, number])[];
}

/** An operand: the images, or the kernels. A part of its shape may be several axes, or none. */
export interface Operand {
  readonly value: Value;
  /** The batch of the images, the filters of the kernels. */
  readonly own: readonly number[];
  readonly group: readonly number[];
  readonly channel: readonly number[];
  readonly spatial: readonly number[];
}

export const multiplyAddsOf = ({ batch, groups, channels, filters, kernel, output }: Convolution): number =>
  batch * groups * channels * filters * product(kernel) * product(output);

/** The operand as a dense tensor of the given shape, its axes in the given order. */
export function inOrder(
  graph: Graph,
  { value }: Operand,
  order: readonly (readonly number[])[],
  shape: readonly number[],
): string {
  const axes = order.flat().map((axis) => value.view.axes[axis]);
  return graph.reshape(graph.dense({ ...value, view: { physical: value.view.physical, axes } }), shape);
}

/** The images as ONNX wants them. */
export const imagesOf = (
  graph: Graph,
  lhs: Operand,
  { batch, groups, channels, input }: Convolution,
): string =>
  inOrder(graph, lhs, [lhs.own, lhs.group, lhs.channel, lhs.spatial], [batch, groups * channels, ...input]);

/** The kernels as ONNX wants them. */
export const kernelsOf = (
  graph: Graph,
  rhs: Operand,
  { groups, filters, channels, kernel }: Convolution,
): string =>
  inOrder(
    graph,
    rhs,
    [rhs.group, rhs.own, rhs.channel, rhs.spatial],
    [groups * filters, channels, ...kernel],
  );

/**
 * Convolutions, with what jax-js makes of their gradients and of `vmap`. `block` is the number of channels that ONNX
 * Runtime's fast convolutions keep together on this processor; 1 where only standard operators may be used.
 */
export const convolutionRule = (block: number): Rule =>
  aware((graph, [x, w], equation) => {
    const dtype = dtypeOut(equation);
    const scale = (x.scale ?? 1) * (w.scale ?? 1);
    const operands = isSafeScale(scale) ? [unscaled(x), unscaled(w)] : [graph.settle(x), graph.settle(w)];
    const [lhs, rhs] = operands.map((value) => cast(graph, value, dtype));
    const result = convolve(graph, lhs, rhs, equation, block);
    return [isSafeScale(scale) ? rescaled(result, scale) : result];
  });

function convolve(graph: Graph, x: Value, w: Value, equation: Equation, block: number): Value {
  const { vmapDims, strides, padding, lhsDilation, rhsDilation } =
    equation.params as unknown as ConvolutionParameters;
  const [left, right] = [x, w].map((value) => wholeAxes(graph, value, vmapDims));
  const has = (value: Value, axis: number) => value.view.axes[axis].some((factor) => factor.real);
  const mapped = Array.from({ length: vmapDims }, (_, axis) => axis);
  // What both operands have of the mapped axes are groups; what one of them has are more images, or more filters.
  const group = mapped.filter((axis) => has(left, axis) && has(right, axis));
  const images = mapped.filter((axis) => has(left, axis) && !has(right, axis));
  const kernels = mapped.filter((axis) => !has(left, axis) && has(right, axis));
  const spatial = strides.map((_, i) => vmapDims + 2 + i);
  const one = spatial.length === 0 ? [1] : []; // without spatial axes, images and kernels of one pixel
  const channel = [vmapDims + 1];
  const lhs: Operand = { value: left, own: [...images, vmapDims], group, channel, spatial };
  const rhs: Operand = { value: right, own: [...kernels, vmapDims], group, channel, spatial };

  const shape = equation.outBinders[0].aval.shape;
  const lengths = (value: Value, axes: readonly number[]) =>
    axes.map((axis) => product(sizes(value.view.axes[axis])));
  const result = choose(
    graph,
    lhs,
    rhs,
    {
      batch: product(lengths(left, lhs.own)),
      groups: product(lengths(left, group)),
      channels: product(lengths(left, channel)),
      filters: product(lengths(right, rhs.own)),
      input: [...lengths(left, spatial), ...one],
      kernel: [...lengths(right, spatial), ...one],
      output: [...shape.slice(vmapDims + 2), ...one],
      strides: [...strides, ...one],
      dilation: [...rhsDilation, ...one],
      padding: [...padding, ...one.map(() => [0, 0] as const)],
    },
    [...lhsDilation, ...one],
    block,
  );

  const order = [...images, vmapDims, ...group, ...kernels, vmapDims + 1, ...spatial];
  const open = order.map((axis) => shape[axis]);
  const view = reshapeView(result.view, open);
  const opened = view ? { ...result, view } : graph.value(graph.dense(result), result.dtype, open);
  const axes = shape.map((length, axis) => {
    const at = order.indexOf(axis);
    if (at >= 0) return opened.view.axes[at];
    return length === 1 ? [] : [{ size: length, real: false }]; // what neither operand has
  });
  return { ...opened, view: { physical: opened.view.physical, axes } };
}

/** The value with each of its first axes either wholly real or wholly repeated. */
function wholeAxes(graph: Graph, value: Value, count: number): Value {
  const mixed = value.view.axes
    .slice(0, count)
    .some((axis) => axis.some((factor) => factor.real) && axis.some((factor) => !factor.real));
  return mixed ? graph.materialise(value) : value;
}

/** The convolution by the way that suits its shape and its element type: axes [batch, groups, filters, ...output]. */
function choose(
  graph: Graph,
  lhs: Operand,
  rhs: Operand,
  convolution: Convolution,
  lhsDilation: readonly number[],
  block: number,
): Value {
  const { dtype } = lhs.value;
  if (dtype === "bool") throw new UnsupportedPrimitiveError("conv with element type bool");
  const apart = lhsDilation.some((dilation) => dilation > 1);
  if (dtype === "float32" && !apart && isFewOutputs(convolution)) {
    return isBlockedFewOutputs(convolution, block)
      ? blockedFewOutputs(graph, lhs, rhs, convolution, block)
      : fewOutputs(graph, lhs, rhs, convolution);
  }
  const blocked = dtype === "float32" && isBlocked(convolution, block);
  const inner = blocked ? block : 1;
  const images = imagesOf(graph, lhs, convolution);
  const run = (kernels: string, part: Convolution): string => {
    const cut = cropped(graph, images, part);
    if (cut === null) return zerosOf(graph, dtype, part, inner);
    if (blocked) return blockedConvolution(graph, cut.images, kernels, cut.convolution, block);
    // ONNX Runtime's convolutions are of floats; its products of matrices are not.
    return dtype === "float32"
      ? standardConvolution(graph, cut.images, kernels, cut.convolution)
      : shiftedProducts(graph, cut.images, kernels, cut.convolution, dtype);
  };
  const kernels = kernelsOf(graph, rhs, convolution);
  const name = apart
    ? phases(graph, dtype, kernels, convolution, lhsDilation, inner, run)
    : run(kernels, convolution);
  const { batch, groups, filters, output } = convolution;
  return graph.value(blocked ? unblocked(graph, name, convolution, block) : name, dtype, [
    batch,
    groups,
    filters,
    ...output,
  ]);
}

/** ONNX's own convolution: takes images and kernels as they are described, gives `[batch, groups * filters, ...output]`. */
function standardConvolution(
  graph: Graph,
  images: string,
  kernels: string,
  { batch, groups, filters, kernel, output, strides, dilation, padding }: Convolution,
): string {
  const attributes = {
    kernel_shape: kernel,
    strides,
    dilations: dilation,
    pads: [...padding.map(([before]) => before), ...padding.map(([, after]) => after)],
    group: groups,
  };
  return graph.node("Conv", [images, kernels], [[batch, groups * filters, ...output]], attributes)[0];
}
