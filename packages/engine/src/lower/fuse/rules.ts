import type { Equation } from "../../trace.js";
import { add, align, elementwise, multiply, positionsOf, rescaled } from "../elementwise.js";
import type { Graph, Value } from "../graph.js";
import { reduce } from "../reduce.js";
import { type Rule, shapeOut } from "../rule.js";
import { product, type View } from "../view.js";

/** Values as matrices whose rows are what a form runs over, and the way back. */
interface Rows {
  readonly names: readonly string[];
  readonly shape: readonly [number, number];
  readonly restore: (name: string) => Value;
}

function asRows(graph: Graph, operands: readonly Value[], equation: Equation): Rows {
  const axes = equation.params.axes as number[];
  const shape = shapeOut(equation);
  let values = align(graph, operands, shape);
  const real = (value: Value) => positionsOf(value).map((factor) => factor.real);
  const usable =
    values.every((value) => real(value).join() === real(values[0]).join()) &&
    axes.every((axis) => values[0].view.axes[axis].every((factor) => factor.real));
  if (!usable) {
    values = align(
      graph,
      operands.map((value) => graph.materialise({ ...value, view: align(graph, [value], shape)[0].view })),
      shape,
    );
  }
  const within = new Set(axes.flatMap((axis) => values[0].view.axes[axis]));
  const first = positionsOf(values[0]);
  const order = [
    ...values[0].view.physical.filter((factor) => !within.has(factor)),
    ...axes.flatMap((axis) => values[0].view.axes[axis]),
  ].map((factor) => first.indexOf(factor));
  const width = product(axes.map((axis) => shape[axis]));
  const matrix = [product(order.map((p) => first[p].size)) / width, width] as const;
  const view: View = { physical: order.map((p) => first[p]), axes: values[0].view.axes };
  return {
    names: values.map((value) => {
      const positions = positionsOf(value);
      const arranged = graph.arrange(
        value,
        order.map((p) => positions[p]),
      );
      return graph.reshape(arranged.name, matrix);
    }),
    shape: matrix,
    restore: (name) => ({ name, dtype: values[0].dtype, view }),
  };
}

/** Arithmetic of matrices and columns. */
const arithmetic = (graph: Graph, [rows, width]: readonly [number, number]) => {
  const matrix = (op: string, a: string, b: string) => graph.node(op, [a, b], [[rows, width]])[0];
  const column = (op: string, a: string) =>
    graph.node(op, [a, graph.integers([1])], [[rows, 1]], { keepdims: 1 })[0];
  return { matrix, column };
};

const rowOperator =
  (op: "Softmax" | "LogSoftmax"): Rule =>
  (graph, operands, equation) => {
    const { names, shape, restore } = asRows(graph, operands, equation);
    return [restore(graph.node(op, names, [shape], { axis: 1 })[0])];
  };

/** `y * (g - sum(g * y))` */
const softmaxGradient: Rule = (graph, operands, equation) => {
  const { names, shape, restore } = asRows(graph, operands, equation);
  const { matrix, column } = arithmetic(graph, shape);
  const [y] = graph.node("Softmax", [names[0]], [shape], { axis: 1 });
  const along = column("ReduceSum", matrix("Mul", y, names[1]));
  return [restore(matrix("Mul", y, matrix("Sub", names[1], along)))];
};

/** `g - softmax(x) * sum(g)` */
const logSoftmaxGradient: Rule = (graph, operands, equation) => {
  const { names, shape, restore } = asRows(graph, operands, equation);
  const { matrix, column } = arithmetic(graph, shape);
  const [logs] = graph.node("LogSoftmax", [names[0]], [shape], { axis: 1 });
  const [y] = graph.node("Exp", [logs], [shape]);
  return [restore(matrix("Sub", names[1], matrix("Mul", y, column("ReduceSum", names[1]))))];
};

/** Rows less their means over their deviations, and one over the deviations. */
function standardised(graph: Graph, name: string, [rows, width]: readonly [number, number], epsilon: number) {
  const [ones] = graph.node("Expand", [graph.scalar("float32", 1).name, graph.integers([width])], [[width]]);
  const shapes = [
    [rows, width],
    [rows, 1],
    [rows, 1],
  ];
  const [normalised, , inverse] = graph.node("LayerNormalization", [name, ones], shapes, {
    axis: -1,
    epsilon: { float: epsilon },
  });
  return [normalised, inverse];
}

const standardise: Rule = (graph, operands, equation) => {
  const { names, shape, restore } = asRows(graph, operands, equation);
  return [restore(standardised(graph, names[0], shape, equation.params.epsilon as number)[0])];
};

const layerNorm: Rule = (graph, [operand, ...affine], equation) => {
  const { names, shape, restore } = asRows(graph, [operand], equation);
  const vectors = affine.map((vector) => graph.dense(vector));
  const attributes = { axis: -1, epsilon: { float: equation.params.epsilon as number } };
  return [restore(graph.node("LayerNormalization", [...names, ...vectors], [shape], attributes)[0])];
};

/** `(g - mean(g) - y * mean(g * y)) / deviation` with y the normalised rows. */
const standardiseGradient: Rule = (graph, operands, equation) => {
  const { names, shape, restore } = asRows(graph, operands, equation);
  const { matrix, column } = arithmetic(graph, shape);
  const [x, g] = names;
  const [y, inverse] = standardised(graph, x, shape, equation.params.epsilon as number);
  const along = matrix("Mul", y, column("ReduceMean", matrix("Mul", g, y)));
  const across = matrix("Sub", g, column("ReduceMean", g));
  return [restore(matrix("Mul", matrix("Sub", across, along), inverse))];
};

/** `(g - y * mean(g * y)) / r` with y = x / r, r the root mean square. */
const rmsGradient: Rule = (graph, [x, g], equation) => {
  const shape = shapeOut(equation);
  const axes = equation.params.axes as number[];
  const kept = shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const share = 1 / product(axes.map((axis) => shape[axis]));
  const mean = (value: Value) => {
    const reduced = rescaled(reduce(graph, value, "Add", axes), share);
    const view = {
      ...reduced.view,
      axes: kept.map(() => [] as View["axes"][number]) as View["axes"][number][],
    };
    let next = 0;
    kept.forEach((_, axis) => {
      if (!axes.includes(axis)) view.axes[axis] = reduced.view.axes[next++];
    });
    return { ...reduced, view };
  };
  const epsilon = graph.scalar("float32", equation.params.epsilon as number);
  const squares = multiply(graph, x, x, shape, "float32");
  const root = elementwise(
    graph,
    "Sqrt",
    [graph.settle(add(graph, mean(squares), epsilon, kept, "float32"))],
    kept,
    "float32",
  );
  const inverse = elementwise(graph, "Reciprocal", [root], kept, "float32");
  const y = multiply(graph, x, inverse, shape, "float32");
  const along = multiply(graph, y, mean(multiply(graph, g, y, shape, "float32")), shape, "float32");
  const less = add(graph, g, rescaled(along, -(along.scale ?? 1)), shape, "float32");
  return [graph.settle(multiply(graph, less, inverse, shape, "float32"))];
};

/** Element-wise arithmetic on values of one shape; numbers stand for themselves. */
function calculator(graph: Graph, shape: readonly number[]) {
  const apply = (op: string, operands: readonly (Value | number)[], attributes = {}) =>
    elementwise(
      graph,
      op,
      operands.map((operand) => (typeof operand === "number" ? graph.scalar("float32", operand) : operand)),
      shape,
      "float32",
      attributes,
    );
  return {
    mul: (a: Value, b: Value | number) => apply("Mul", [a, b]),
    add: (a: Value, b: Value | number) => apply("Add", [a, b]),
    sub: (a: Value | number, b: Value) => apply("Sub", [a, b]),
    div: (a: Value, b: Value) => apply("Div", [a, b]),
    apply,
  };
}

const unary =
  (op: string): Rule =>
  (graph, operands, equation) => [elementwise(graph, op, operands, shapeOut(equation), "float32")];

/** The normal distribution function as `clip(0.5 * erf + 0.5, 0, 1)`: one pass where a product and a sum take two. */
function gelu(graph: Graph, x: Value, shape: readonly number[]) {
  const { mul, apply } = calculator(graph, shape);
  const u = mul(x, Math.SQRT1_2);
  const phi = apply("HardSigmoid", [apply("Erf", [u])], { alpha: { float: 0.5 }, beta: { float: 0.5 } });
  return { u, phi };
}

/** The tanh form: `(1 + tanh(v)) / 2 = sigmoid(2 v)` with `2 v = x * (a + b * x^2)`. */
function tanhGelu(graph: Graph, x: Value, shape: readonly number[]) {
  const { mul, add, apply } = calculator(graph, shape);
  const [a, b] = [2 * Math.sqrt(2 / Math.PI), 2 * Math.sqrt(2 / Math.PI) * 0.044715];
  const square = mul(x, x);
  const sigmoid = apply("Sigmoid", [mul(x, add(mul(square, b), a))]);
  /** Derivative of 2 v by x. */
  const slope = () => add(mul(square, 3 * b), a);
  return { sigmoid, slope };
}

const geluRule: Rule = (graph, [x], equation) => {
  const shape = shapeOut(equation);
  const { approximate, shared } = equation.params as { approximate: string; shared: boolean };
  // Alone, one operator; beside its gradient, what that needs as well.
  if (!shared) return [elementwise(graph, "Gelu", [x], shape, "float32", { approximate })];
  const factor = approximate === "tanh" ? tanhGelu(graph, x, shape).sigmoid : gelu(graph, x, shape).phi;
  return [calculator(graph, shape).mul(x, factor)];
};

const geluGradient: Rule = (graph, [x, g], equation) => {
  const shape = shapeOut(equation);
  const { mul, add, sub, div, apply } = calculator(graph, shape);
  if (equation.params.approximate === "tanh") {
    const { sigmoid, slope } = tanhGelu(graph, x, shape);
    const falling = sub(sigmoid, mul(sigmoid, sigmoid));
    return [mul(g, add(mul(mul(x, falling), slope()), sigmoid))];
  }
  const { u, phi } = gelu(graph, x, shape);
  // exp overflows to infinity for large u, and u over that is 0, as it should be.
  const density = mul(div(u, apply("Exp", [mul(u, u)])), 1 / Math.sqrt(Math.PI));
  return [mul(g, add(phi, density))];
};

const tanhGradient: Rule = (graph, [x, g], equation) => {
  const { mul, sub, apply } = calculator(graph, shapeOut(equation));
  const y = apply("Tanh", [x]);
  return [sub(g, mul(g, mul(y, y)))];
};

const sigmoidGradient: Rule = (graph, [x, g], equation) => {
  const { mul, sub, apply } = calculator(graph, shapeOut(equation));
  const y = apply("Sigmoid", [x]);
  return [mul(g, sub(y, mul(y, y)))];
};

/** `s + x s (1 - s)` with the value `y = x s`: `s + y - y s`. */
const siluGradient: Rule = (graph, [x, g], equation) => {
  const { mul, add, sub, apply } = calculator(graph, shapeOut(equation));
  const s = apply("Sigmoid", [x]);
  const y = mul(x, s);
  return [mul(g, add(sub(y, mul(y, s)), s))];
};

/** Rules of the equations that `fuse` writes. */
export const fusedRules: Readonly<Record<string, Rule>> = {
  softmax: rowOperator("Softmax"),
  softmax_gradient: softmaxGradient,
  log_softmax: rowOperator("LogSoftmax"),
  log_softmax_gradient: logSoftmaxGradient,
  standardise,
  layer_norm: layerNorm,
  standardise_gradient: standardiseGradient,
  rms_gradient: rmsGradient,
  gelu: geluRule,
  gelu_gradient: geluGradient,
  tanh: unary("Tanh"),
  tanh_gradient: tanhGradient,
  sigmoid: unary("Sigmoid"),
  sigmoid_gradient: sigmoidGradient,
  silu_gradient: siluGradient,
};
