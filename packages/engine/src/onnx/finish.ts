import type { Lowered } from "../lower/lower.js";
import type { OnnxModel, OnnxNode, OnnxPort } from "./model.js";

/** The graph as a model: only live nodes, and an output of its own for each leaf of the result. */
export function finish(
  name: string,
  { graph, inputs, outputs }: Lowered,
  paths: readonly string[],
  names: readonly string[],
): OnnxModel {
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const renamed = new Map<string, string>();
  const copies: OnnxNode[] = [];
  const outputPorts: OnnxPort[] = outputs.map((output, i) => {
    const port = names[i] ?? `out${i}`;
    // What is an input, a constant or another output already has to be copied; all else is made under the port's name.
    if (made.has(output.name) && !renamed.has(output.name)) renamed.set(output.name, port);
    else copies.push({ op: "Identity", inputs: [output.name], outputs: [port], attributes: {} });
    return { name: port, dtype: output.dtype, shape: output.shape, doc: `leaf ${i} of the result` };
  });
  // Inputs are known by their place in the arguments, e.g. "tokens" for the leaf 0.tokens, where that is unique.
  const places = paths.map((path) => path.split(".").slice(1).join("."));
  const isFree = (place: string) =>
    place !== "" &&
    !/^(v|c|in|out)\d+$/.test(place) &&
    !outputPorts.some((port) => port.name === place) &&
    places.indexOf(place) === places.lastIndexOf(place);
  const inputNames = inputs.map((input, i) => (isFree(places[i]) ? places[i] : input.name));
  inputs.forEach((input, i) => {
    renamed.set(input.name, inputNames[i]);
  });
  const rename = (names: readonly string[]) => names.map((tensor) => renamed.get(tensor) ?? tensor);
  const nodes: OnnxNode[] = [...graph.nodes, ...copies].map((node) => ({
    ...node,
    inputs: rename(node.inputs),
    outputs: rename(node.outputs),
  }));
  const needed = new Set(outputPorts.map((port) => port.name));
  const live = nodes
    .reverse()
    .filter((node) => {
      const used = node.outputs.some((output) => needed.has(output));
      if (used) for (const input of node.inputs) needed.add(input);
      return used;
    })
    .reverse();
  return {
    name,
    doc: `${name}, compiled from jax-js`,
    nodes: live,
    initializers: graph.initializers.filter((initializer) => needed.has(initializer.name)),
    inputs: inputs.map((input, i) => ({
      name: inputNames[i],
      dtype: input.dtype,
      shape: input.view.axes.map((axis) => axis.reduce((total, factor) => total * factor.size, 1)),
      doc: `argument ${paths[i]}`,
    })),
    outputs: outputPorts,
  };
}
