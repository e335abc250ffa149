import type { OnnxDType } from "../onnx/model.js";
import { type Convolution, inOrder, type Operand } from "./convolution.js";
import { add } from "./elementwise.js";
import type { Graph, Value } from "./graph.js";
import { product, transposeView } from "./view.js";
import { placesOf, strided, surrounded } from "./windows.js";

/**
 * Convolutions with a large kernel and few places to put it, as the gradient of the kernels is; its "channels" are
 * the images of the batch. Taken literally they are products of very thin matrices.
 */
export const isFewOutputs = ({ channels, kernel, output }: Convolution): boolean =>
  product(output) <= 49 && product(kernel) >= 16 && channels >= 8;

/** One product for each place of the kernel. Gives the axes [batch, groups, filters, ...output]. */
export function fewOutputs(graph: Graph, lhs: Operand, rhs: Operand, convolution: Convolution): Value {
  const { batch, groups, channels, filters, input, kernel, output } = convolution;
  const { dtype } = lhs.value;
  // Channels in front: so the batch lies whose gradient this is, and nothing is transposed.
  const order = [lhs.channel, lhs.group, lhs.own, lhs.spatial];
  const images = inOrder(graph, lhs, order, [channels, groups * batch, ...input]);
  // What is cut off in front moves the places; what is cut off behind, no place meets.
  const whole = surrounded(
    graph,
    images,
    dtype,
    convolution.padding.map(([before, after]) => [Math.max(0, before), Math.max(0, after)] as const),
  );
  const kernelShape = [channels, groups, filters, product(kernel)];
  const kernels = inOrder(graph, rhs, [rhs.channel, rhs.group, rhs.own, rhs.spatial], kernelShape);
  const [columns] = graph.node("Transpose", [kernels], [[channels, groups, product(kernel), filters]], {
    perm: [0, 1, 3, 2],
  });
  const products = placesOf(output).map((place) => {
    const starts = place.map(
      (at, axis) => at * convolution.strides[axis] + Math.max(0, -convolution.padding[axis][0]),
    );
    const pixels = spread(graph, whole, starts, convolution.dilation, kernel);
    const rows = graph.reshape(pixels, [channels, groups, batch, product(kernel)]);
    const [each] = graph.node("MatMul", [rows, columns], [[channels, groups, batch, filters]]);
    const axis = graph.integers([0]);
    return graph.node("ReduceSum", [each, axis], [[1, groups, batch, filters]], { keepdims: 1 })[0];
  });
  const [stacked] = graph.node("Concat", products, [[products.length, groups, batch, filters]], { axis: 0 });
  const value = graph.value(stacked, dtype, [...output, groups, batch, filters]);
  const last = output.length;
  const perm = [last + 1, last, last + 2, ...output.map((_, axis) => axis)];
  return { ...value, view: transposeView(value.view, perm) };
}

/**
 * Along the last axes, `counts` elements from `starts`, `steps` apart. Pixels apart from one another are left over by
 * a pooling of single pixels: ONNX Runtime shares that out among threads, which it does not with slices.
 */
function spread(
  graph: Graph,
  name: string,
  starts: readonly number[],
  steps: readonly number[],
  counts: readonly number[],
): string {
  const one = counts.map(() => 1);
  const given = graph.shapeOf(name).slice(-counts.length);
  const all = counts.every(
    (count, axis) => starts[axis] === 0 && count === Math.floor((given[axis] - 1) / steps[axis]) + 1,
  );
  const lengths = counts.map((count, axis) => (count - 1) * steps[axis] + 1);
  const part = all ? name : strided(graph, name, starts, one, lengths);
  const apart = steps.some((step, axis) => step > 1 && counts[axis] > 1);
  if (!apart || counts.length > 3) return strided(graph, name, starts, steps, counts);
  const shape = [...graph.shapeOf(name).slice(0, -counts.length), ...counts];
  const attributes = { kernel_shape: one, strides: steps };
  return graph.node("AveragePool", [part], [shape], attributes)[0];
}

/**
 * A convolution by one product of matrices for each position of the kernel, added up: for element types of which
 * ONNX Runtime has no convolution. Takes and gives what ONNX's convolution does.
 */
export function shiftedProducts(
  graph: Graph,
  images: string,
  kernels: string,
  { batch, groups, channels, filters, kernel, output, strides, dilation, padding }: Convolution,
  dtype: OnnxDType,
): string {
  const whole = surrounded(graph, images, dtype, padding);
  const shape = [batch, groups, filters, product(output)];
  const terms = placesOf(kernel).map((place) => {
    const starts = place.map((at, axis) => at * dilation[axis]);
    const pixels = graph.reshape(strided(graph, whole, starts, strides, output), [
      batch,
      groups,
      channels,
      product(output),
    ]);
    const one = kernel.map(() => 1);
    const weights = graph.reshape(strided(graph, kernels, place, one, one), [groups, filters, channels]);
    return graph.value(graph.node("MatMul", [weights, pixels], [shape])[0], dtype);
  });
  const sum = terms.reduce((total, term) => add(graph, total, term, shape, dtype));
  return graph.reshape(graph.dense(sum), [batch, groups * filters, ...output]);
}
