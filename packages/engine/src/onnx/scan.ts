import type { OnnxGraph, OnnxModel, OnnxPort } from "./model.js";

/** The name of the length that each run of a program of several steps decides. */
export const STEPS = "steps";

/**
 * A model of one step `(carry, ...inputs, ...constants) -> (carry, ...results)` as one of any number of steps: a Scan,
 * whose inputs and results have a leading axis of steps. The constants stay as they are.
 *
 * ONNX Runtime keeps the carry of a Scan in two sets of buffers, slices inputs and results without a copy, and optimises
 * the body once; unrolled, the same program takes as long to run and many times as long to compile.
 */
export function overSteps(model: OnnxModel, carries: number, inputs: number): OnnxModel {
  const varying = model.inputs.slice(0, carries + inputs);
  const stacked = (ports: readonly OnnxPort[]): OnnxPort[] =>
    ports.map((port, i) => (i < carries ? port : { ...port, shape: [STEPS, ...port.shape] }));
  const outerInputs = stacked(varying);
  const outerOutputs = stacked(model.outputs);
  return {
    ...model,
    inputs: [...outerInputs, ...model.inputs.slice(carries + inputs)],
    outputs: outerOutputs,
    initializers: [],
    nodes: [
      {
        op: "Scan",
        inputs: outerInputs.map((port) => port.name),
        outputs: outerOutputs.map((port) => port.name),
        attributes: {
          body: { graph: inside(model, [...varying, ...model.outputs]) },
          num_scan_inputs: inputs,
        },
      },
    ],
  };
}

/** The graph with names of its own for `ports`; a body may not have names of the graph around it. */
function inside(graph: OnnxGraph, ports: readonly OnnxPort[]): OnnxGraph {
  const own = new Map(ports.map((port) => [port.name, `step/${port.name}`]));
  const rename = (names: readonly string[]) => names.map((name) => own.get(name) ?? name);
  const renamePorts = (list: readonly OnnxPort[]) =>
    list
      .filter((port) => own.has(port.name))
      .map(({ doc: _, ...port }) => ({ ...port, name: own.get(port.name) as string }));
  return {
    name: "step",
    nodes: graph.nodes.map((node) => ({
      ...node,
      inputs: rename(node.inputs),
      outputs: rename(node.outputs),
    })),
    initializers: graph.initializers,
    inputs: renamePorts(graph.inputs),
    outputs: renamePorts(graph.outputs),
  };
}
