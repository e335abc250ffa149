import { cast } from "./cast.js";
import type { Graph } from "./graph.js";
import { type Rule, shapeOut } from "./rule.js";
import { product } from "./view.js";

/** Left rotations of the rounds, four and four in turn. */
const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/**
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), as jax-js
 * has it: the two words of the key, [keys, 1] each, and the counter 0, 1, 2, ... give two words, [keys, count] each.
 */
function threefry(
  graph: Graph,
  [k0, k1]: readonly [string, string],
  [keys, count]: readonly [number, number],
): [string, string] {
  const compute = (op: string, a: string, b: string, rows = keys, columns = count, attributes = {}) =>
    graph.node(op, [a, b], [[rows, columns]], attributes)[0];
  const number = (value: number) => graph.scalar("uint32", value).name;
  // A sum and a product where a shift and an or would do: ONNX Runtime has those in vector instructions.
  const rotated = (x: string, by: number) =>
    compute(
      "Add",
      compute("Mul", x, number(2 ** by)),
      compute("BitShift", x, number(32 - by), keys, count, { direction: "RIGHT" }),
    );
  const parity = compute("BitwiseXor", compute("BitwiseXor", k0, k1, keys, 1), number(0x1bd11bda), keys, 1);
  const key = [k0, k1, parity];

  const [from, to, step] = [0, count, 1].map((value) => graph.scalar("int64", value).name);
  const [range] = graph.node("Range", [from, to, step], [[count]]);
  const counter = cast(graph, graph.value(range, "int64"), "uint32").name;
  let x1 = compute("Add", counter, k1);
  // The first round adds the first word, which is still the same for all counters.
  let x0 = k0;
  for (let group = 0; group < 5; group++) {
    for (const by of rotations[group % 2]) {
      x0 = compute("Add", x0, x1);
      x1 = compute("BitwiseXor", rotated(x1, by), x0);
    }
    const injected = compute("Add", key[(group + 2) % 3], number(group + 1), keys, 1);
    x0 = compute("Add", x0, key[(group + 1) % 3]);
    x1 = compute("Add", x1, injected);
  }
  return [x0, x1];
}

/** A block of random words for each key; `mode` says which of the two words, or both combined. */
const randomBits: Rule = (graph, keys, equation) => {
  const shape = shapeOut(equation);
  const keyShape = equation.inputs[0].aval.shape;
  const sizes = [product(keyShape), product(shape.slice(keyShape.length))] as const;
  const words = keys.map((word) => graph.reshape(graph.dense(word), [sizes[0], 1]));
  const pair = threefry(graph, [words[0], words[1]], sizes);
  const { mode } = equation.params as { mode: "xor" | 0 | 1 };
  const [name] = mode === "xor" ? graph.node("BitwiseXor", pair, [sizes]) : [pair[mode]];
  return [graph.value(graph.reshape(name, shape), "uint32", shape)];
};

export const randomRules: Record<string, Rule> = { random_bits: randomBits };
