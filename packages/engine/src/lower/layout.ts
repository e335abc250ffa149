import type { Equation, Jaxpr, Variable } from "../trace.js";
import { broadcastView, reshapeView, transposeView, type View } from "./view.js";

/** How much rearranging a layout of a variable will cost the equations that use it; lower is better. */
export type LayoutCost = (variable: Variable, view: View) => number;

const elementwisePrimitives = new Set(
  [
    "add mul min max neg reciprocal exp log sqrt erf erfc sin cos where compare cast stop_gradient floor ceil",
    "gelu gelu_gradient tanh tanh_gradient sigmoid sigmoid_gradient silu_gradient",
  ].flatMap((names) => names.split(" ")),
);

/** Products and sums take their operands in most layouts. */
const indifferentPrimitives = new Set(["dot", "reduce"]);

/**
 * A product may be laid out rows first or columns first, for the same price. This looks ahead along its first use,
 * through views and element-wise operations, to where the layout matters, and counts what lies out of order there.
 */
export function layoutCosts(jaxpr: Jaxpr): LayoutCost {
  const firstUse = new Map<Variable, Equation>();
  for (const equation of jaxpr.eqns) {
    for (const input of equation.inputs) {
      if (!("value" in input) && !firstUse.has(input)) firstUse.set(input, equation);
    }
  }
  return (variable, view) => {
    let [current, layout]: [Variable, View] = [variable, view];
    for (let use = firstUse.get(current); use; use = firstUse.get(current)) {
      const { primitive, params, outBinders } = use;
      if (indifferentPrimitives.has(primitive)) return disorder(layout) / 1000;
      let next: View | null = null;
      if (primitive === "transpose") next = transposeView(layout, params.perm as number[]);
      else if (primitive === "reshape") next = reshapeView(layout, params.shape as number[]);
      else if (primitive === "broadcast") {
        next = broadcastView(layout, params.shape as number[], params.axis as number[]);
      } else if (
        elementwisePrimitives.has(primitive) &&
        outBinders[0].aval.shape.join() === current.aval.shape.join()
      ) {
        next = layout;
      }
      if (next === null) break;
      [current, layout] = [outBinders[0], next];
    }
    return disorder(layout);
  };
}

/** Inversions; of two layouts with as many, the one that keeps the fastest dimension is cheaper to put in order. */
function disorder(layout: View): number {
  const fastest = layout.axes.flat().findLast((factor) => factor.real);
  return inversions(layout) + (fastest === layout.physical.at(-1) ? 0 : 0.5);
}

/** Pairs of dimensions that lie in the buffer in another order than in the shape. */
function inversions({ physical, axes }: View): number {
  const places = axes
    .flat()
    .filter((factor) => factor.real)
    .map((factor) => physical.indexOf(factor));
  return places.reduce(
    (count, place, i) => count + places.slice(i + 1).filter((later) => later < place).length,
    0,
  );
}
