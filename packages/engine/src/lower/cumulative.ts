import type { Atom, Equation, Jaxpr, Traced, Variable } from "../trace.js";
import { cast } from "./cast.js";
import type { Graph, Value } from "./graph.js";
import { dtypeOut, type Rule, through } from "./rule.js";
import { broadcastTo, product, sizes } from "./view.js";

/**
 * jax-js has no cumulative sums: it repeats the array along a new axis, keeps a triangle of that and adds it up, which
 * takes quadratic time. Here such a sum, or product, becomes the equation `cumulative`; its operands are the array
 * that the triangle was cut from and the triangle itself.
 */
export function recogniseCumulative({ jaxpr, constants }: Pick<Traced, "jaxpr" | "constants">): Jaxpr {
  const makers = new Map(jaxpr.eqns.flatMap((equation) => equation.outBinders.map((out) => [out, equation])));
  const makerOf = (atom: Atom): Equation | undefined => makers.get(atom as Variable);
  const constantOf = (atom: Atom): ArrayLike<number> | undefined => {
    const maker = makerOf(atom);
    if (maker?.primitive === "reshape") return constantOf(maker.inputs[0]);
    const index = jaxpr.inBinders.indexOf(atom as Variable);
    return constants[index]?.data as unknown as ArrayLike<number> | undefined;
  };
  /** Whether an array counts up from `start` along its axis `axis`, counted from the last. */
  const counts = (atom: Atom, axis: number, start: number): boolean => {
    const { shape } = atom.aval;
    const numbers = constantOf(atom);
    return (
      numbers !== undefined &&
      shape.length <= 2 &&
      shape.at(axis) === product(shape) &&
      Array.from(numbers).every((number, i) => number === start + i)
    );
  };
  /** 0 for a lower triangle with its diagonal, 1 for one without. */
  const triangle = (atom: Atom): 0 | 1 | undefined => {
    const maker = makerOf(atom);
    if (maker?.primitive !== "compare" || maker.params.op !== "less_equal") return undefined;
    const [columns, rows] = maker.inputs;
    if (rows.aval.shape.length !== 2 || !counts(columns, -1, 0)) return undefined;
    return ([0, 1] as const).find((start) => counts(rows, -2, -start));
  };

  const rewrite = (equation: Equation): Equation => {
    const { op, axis } = equation.params as { op: string; axis: readonly number[] };
    if (equation.primitive !== "reduce" || axis.length !== 1 || (op !== "Add" && op !== "Mul"))
      return equation;
    const [summed] = equation.inputs;
    const cut = makerOf(summed);
    const rank = summed.aval.shape.length;
    if (cut?.primitive !== "where" || axis[0] < rank - 2 || summed.aval.dtype === "bool") return equation;
    const [mask, whole, rest] = cut.inputs;
    const exclusive = triangle(mask);
    const neutral = "value" in rest && Number(rest.value) === (op === "Add" ? 0 : 1);
    if (exclusive === undefined || !neutral) return equation;
    const params = { op, axis, exclusive, reverse: axis[0] === rank - 2 ? 1 : 0 };
    return { primitive: "cumulative", inputs: [whole, summed], params, outBinders: equation.outBinders };
  };
  return { ...jaxpr, inBinders: jaxpr.inBinders, outs: jaxpr.outs, eqns: jaxpr.eqns.map(rewrite) };
}

interface CumulativeParameters {
  op: "Add" | "Mul";
  axis: readonly number[];
  exclusive: 0 | 1;
  reverse: 0 | 1;
}

/** `reduce` computes the sum as it is written, where the array is not one repeated along the other axis. */
export const cumulativeRule =
  (reduce: Rule): Rule =>
  (graph, [whole, cut], equation) => {
    const { op, axis, exclusive, reverse } = equation.params as unknown as CumulativeParameters;
    const dtype = dtypeOut(equation);
    if (dtype === "uint32")
      return through(dtype, "int32", cumulativeRule(reduce))(graph, [whole, cut], equation);
    const square = equation.inputs[1].aval.shape;
    const { axes, physical } = broadcastTo(whole.view, square);
    const along = square.length - 2;
    const other = axis[0] === along ? along + 1 : along;
    if (square[along] === 1 || axes[other].some((factor) => factor.real))
      return reduce(graph, [cut], equation);
    const line = { ...cast(graph, whole, dtype), view: { physical, axes: axes.toSpliced(other, 1) } };
    return [scan(graph, line, along, op === "Add" ? "CumSum" : "CumProd", { exclusive, reverse })];
  };

function scan(
  graph: Graph,
  operand: Value,
  axis: number,
  op: "CumSum" | "CumProd",
  attributes: { exclusive: 0 | 1; reverse: 0 | 1 },
): Value {
  const [factor, ...more] = operand.view.axes[axis];
  if (more.length > 0 || !factor.real) return scan(graph, graph.materialise(operand), axis, op, attributes);
  const dims = sizes(operand.view.physical);
  const place = graph.scalar("int64", operand.view.physical.indexOf(factor)).name;
  const [name] = graph.node(op, [graph.reshape(operand.name, dims), place], [dims], attributes);
  return { ...operand, name };
}
