import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Aval, Equation } from "../trace.js";
import { cast } from "./cast.js";
import type { Graph, Value } from "./graph.js";
import { concatenate } from "./movement.js";
import { scalarView, shapeOf } from "./view.js";

const isEmpty = ({ shape }: { readonly shape: readonly number[] }): boolean => shape.includes(0);

/** The only array of a shape with a length of 0. */
export const emptyValue = (graph: Graph, aval: Aval): Value =>
  graph.constant(aval.dtype as OnnxDType, aval.shape, new Uint8Array(0));

/** What a reduction of no elements gives. */
const identities: Record<string, number> = { Add: 0, Mul: 1, Max: -Infinity, Min: Infinity };

/**
 * Lowers an equation that reads or makes empty arrays; null where it does neither. Empty results are constants, and
 * what an empty operand contributes to one that is not empty is known beforehand.
 */
export function lowerEmpty(graph: Graph, operands: readonly Value[], equation: Equation): Value[] | null {
  const { primitive, inputs, outBinders, params } = equation;
  const outputs = outBinders.map(({ aval }) => aval);
  if (outputs.every(isEmpty)) return outputs.map((aval) => emptyValue(graph, aval));
  if (!inputs.some(({ aval }) => isEmpty(aval))) return null;
  const dtype = outputs[0].dtype as OnnxDType;
  const everywhere = (value: number) => [
    { ...graph.scalar(dtype, value), view: scalarView(outputs[0].shape) },
  ];
  if (primitive === "pad" || primitive === "dot" || primitive === "scatter") return everywhere(0);
  if (primitive === "reduce") return everywhere(identities[params.op as string]);
  if (primitive === "concatenate") {
    const parts = operands.filter((operand) => !isEmpty({ shape: shapeOf(operand.view) }));
    return [
      concatenate(
        graph,
        parts.map((part) => cast(graph, graph.settle(part), dtype)),
        params.axis as number,
      ),
    ];
  }
  throw new UnsupportedPrimitiveError(`${primitive} on an empty array`);
}
