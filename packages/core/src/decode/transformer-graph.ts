import type { Attribute, OnnxInitializer, OnnxModel, OnnxNode, OnnxPort, Tensor } from "@outgrow/engine";
import { rotaryFrequencies } from "../models/attention.js";
import type { BlockParams, NormParams, ProjectionParams, TransformerParams } from "../models/transformer.js";
import type { TransformerConfig } from "../models/transformer-config.js";

/** How a transformer's graph is to read its tokens, and where it has its weights. */
export interface TransformerGraphOptions {
  /** One token a row, or several. With one, moving heads about is no work. */
  time: "one" | "several";
  /** A part of the graph, laid out for the processor when it is opened, or given to each run as they are. */
  weights: "constants" | "inputs";
}

export interface TransformerGraph {
  model: OnnxModel;
  /** The weights that each run must be given. */
  weights: Record<string, Tensor>;
}

const MICROSOFT = "com.microsoft";

/**
 * The transformer of `applyTransformer` once more, in ONNX Runtime's own operators: for the logits after the last token,
 * with the tokens before in a cache. Traced, a step of one token has five times the nodes, and needs a program for each
 * number of rows and each length; this one takes any.
 *
 * Inputs, of r rows, t tokens and a cache of c places:
 * - `tokens`, `positions`: int32 `[r, t]`
 * - `bias`: added to the scores of the tokens themselves, then of the cache's places: `[r, 1, 1, 1 + c]` where t is one, else
 *   `[1, 1, t * heads / keyValueHeads, t + c]` with the queries that share a head of keys together
 * - `pastKeys.N`, `pastValues.N` of each layer: `[r, keyValueHeads, c, headSize]`, keys after rotation
 *
 * Outputs: `logits` `[r, vocabularySize]`, and `fresh`, of each layer keys and then values of the tokens: seen as
 * `[layers, 2, r, keyValueHeads, t, headSize]`.
 */
export function transformerGraph(
  config: TransformerConfig,
  params: TransformerParams<Tensor>,
  { time, weights }: TransformerGraphOptions,
): TransformerGraph {
  const graph = new GraphBuilder(weights === "inputs");
  const { heads, keyValueHeads, headSize, layers } = config;
  const sharedBy = heads / keyValueHeads;
  const one = time === "one";
  const tokens = graph.input("tokens", "int32", ["rows", one ? 1 : "time"]);
  const given = graph.input("positions", "int32", ["rows", one ? 1 : "time"]);
  const positions = graph.add("Cast", [given], { to: 7 });
  const bias = graph.input("bias", "float32", ["biased", 1, one ? 1 : "queries", "seen"]);

  const linear = ({ weight, bias }: ProjectionParams<Tensor>, name: string, x: string) => {
    const product = graph.add("MatMul", [x, graph.weight(`${name}.weight`, weight)]);
    return bias ? graph.add("Add", [product, graph.weight(`${name}.bias`, bias)]) : product;
  };
  const epsilon = { float: config.normEpsilon };
  const norm = ({ scale, bias }: NormParams<Tensor>, name: string, x: string) => {
    const inputs = [x, graph.weight(`${name}.scale`, scale)];
    if (!bias) return graph.add("SimplifiedLayerNormalization", inputs, { axis: -1, epsilon });
    inputs.push(graph.weight(`${name}.bias`, bias));
    return graph.add("LayerNormalization", inputs, { axis: -1, epsilon });
  };
  /** Adds to the residual stream and normalises, in one pass. */
  const addAndNorm = (
    { scale, bias }: NormParams<Tensor>,
    name: string,
    stream: string,
    x: string,
  ): [sum: string, normed: string] => {
    const inputs = [stream, x, graph.weight(`${name}.scale`, scale)];
    if (bias) inputs.push(graph.weight(`${name}.bias`, bias));
    const op = bias ? "SkipLayerNormalization" : "SkipSimplifiedLayerNormalization";
    const [normed, , , sum] = graph.addAll(op, inputs, 4, { epsilon }, MICROSOFT, [0, 3]);
    return [sum, normed];
  };

  const turns = config.positions === "learned" ? undefined : rotationTables(config, graph);
  const rotate = (x: string, count: number) =>
    turns
      ? graph.add(
          "RotaryEmbedding",
          [x, positions, ...turns],
          { num_heads: count, interleaved: 0 },
          MICROSOFT,
        )
      : x;
  /** `[rows, time, heads * headSize]` to `[rows, heads, time, headSize]`. */
  const apart = (x: string) =>
    one
      ? graph.add("Reshape", [x, graph.integers([0, keyValueHeads, -1, headSize])])
      : graph.add("Transpose", [graph.add("Reshape", [x, graph.integers([0, 0, keyValueHeads, headSize])])], {
          perm: [0, 2, 1, 3],
        });
  /** The queries that share a head of keys are more rows of the same product: `[rows, keyValueHeads, time * shared, headSize]`. */
  const grouped = (x: string) => {
    if (one || sharedBy === 1) return apart(x);
    const split = graph.add("Reshape", [x, graph.integers([0, -1, keyValueHeads, sharedBy * headSize])]);
    const moved = graph.add("Transpose", [split], { perm: [0, 2, 1, 3] });
    return graph.add("Reshape", [moved, graph.integers([0, 0, -1, headSize])]);
  };
  const ungrouped = (x: string) => {
    const whole = graph.integers([0, one ? 1 : -1, heads * headSize]);
    if (one) return graph.add("Reshape", [x, whole]);
    const split = graph.add("Reshape", [x, graph.integers([0, 0, -1, sharedBy * headSize])]);
    return graph.add("Reshape", [graph.add("Transpose", [split], { perm: [0, 2, 1, 3] }), whole]);
  };
  const placed = (
    projection: ProjectionParams<Tensor>,
    headNorm: NormParams<Tensor> | undefined,
    name: string,
    x: string,
    count: number,
  ) => {
    const product = linear(projection, name, x);
    if (!headNorm) return rotate(product, count);
    const split = graph.add("Reshape", [product, graph.integers([0, 0, count, headSize])]);
    const normed = norm(headNorm, `${name}.norm`, split);
    return rotate(graph.add("Reshape", [normed, graph.integers([0, 0, count * headSize])]), count);
  };
  const scores = (queries: string, keys: string) =>
    graph.add(
      "FusedMatMul",
      [queries, keys],
      { transB: 1, alpha: { float: 1 / Math.sqrt(headSize) } },
      MICROSOFT,
    );
  const attention = (block: BlockParams<Tensor>, layer: number, x: string) => {
    const name = `blocks.${layer}`;
    const past = ["rows", keyValueHeads, "places", headSize];
    const pastKeys = graph.input(`pastKeys.${layer}`, "float32", past);
    const pastValues = graph.input(`pastValues.${layer}`, "float32", past);
    const queries = grouped(placed(block.queries, block.queryNorm, `${name}.queries`, x, heads));
    const keys = apart(placed(block.keys, block.keyNorm, `${name}.keys`, x, keyValueHeads));
    const values = apart(linear(block.values, `${name}.values`, x));
    fresh.push(keys, values);
    // The tokens' own scores come first: the sums of softmax are then the same, bit for bit, whatever room the cache has.
    const all = graph.add("Concat", [scores(queries, keys), scores(queries, pastKeys)], { axis: -1 });
    const shares = graph.add("Softmax", [graph.add("Add", [all, bias])], { axis: -1 });
    const own = one ? graph.integers([1]) : graph.add("Shape", [keys], { start: 2, end: 3 });
    const axis = graph.integers([3]);
    const ownShares = graph.add("Slice", [shares, graph.integers([0]), own, axis]);
    const pastShares = graph.add("Slice", [shares, own, graph.integers([2 ** 31 - 1]), axis]);
    const ownMixed = graph.add(one ? "Mul" : "MatMul", [ownShares, values]);
    const mixed = graph.add("Add", [graph.add("MatMul", [pastShares, pastValues]), ownMixed]);
    return linear(block.out, `${name}.out`, ungrouped(mixed));
  };
  const mlp = ({ gate, up, down }: BlockParams<Tensor>, name: string, x: string) => {
    const inner = linear(up, `${name}.up`, x);
    if (gate) {
      const opened = graph.add(
        "QuickGelu", // x times the sigmoid of alpha x: with alpha 1 that is SiLU
        [linear(gate, `${name}.gate`, x)],
        { alpha: { float: 1 } },
        MICROSOFT,
      );
      return linear(down, `${name}.down`, graph.add("Mul", [opened, inner]));
    }
    const approximate = config.mlp === "gelu" ? "none" : "tanh";
    return linear(down, `${name}.down`, graph.add("Gelu", [inner], { approximate }));
  };

  /** Of each layer keys and values of the tokens. */
  const fresh: string[] = [];
  const embedding = graph.weight("tokens.weight", params.tokens);
  let stream = graph.add("Gather", [embedding, tokens]);
  if (params.positions) {
    const table = graph.weight("positions.weight", params.positions);
    stream = graph.add("Add", [stream, graph.add("Gather", [table, given])]);
  }
  let normed = "";
  for (let layer = 0; layer < layers; layer++) {
    const block = params.blocks[layer];
    const name = `blocks.${layer}`;
    if (layer === 0) normed = norm(block.norm1, `${name}.norm1`, stream);
    [stream, normed] = addAndNorm(block.norm2, `${name}.norm2`, stream, attention(block, layer, normed));
    const next = params.blocks[layer + 1];
    [stream, normed] = addAndNorm(
      next ? next.norm1 : params.norm,
      next ? `blocks.${layer + 1}.norm1` : "norm",
      stream,
      mlp(block, name, normed),
    );
  }
  if (layers === 0) normed = norm(params.norm, "norm", stream);
  const last = graph.add("Gather", [normed, graph.integer(-1)], { axis: 1 });
  const logits = params.output
    ? linear(params.output, "output", last)
    : graph.add("FusedMatMul", [last, embedding], { transB: 1 }, MICROSOFT);
  graph.output("logits", logits, ["rows", config.vocabularySize]);
  // In one piece, since each output costs a run as much as a node or two.
  const together = graph.add("Concat", fresh, { axis: 0 });
  graph.output("fresh", together, ["stacked", keyValueHeads, one ? 1 : "time", headSize]);
  return { model: graph.model(`a transformer's ${one ? "step" : "prompt"}`), weights: graph.given };
}

/** Names of tables of cosines and sines: `[contextLength, headSize / 2]`. */
function rotationTables({ headSize, positions, contextLength }: TransformerConfig, graph: GraphBuilder) {
  if (positions === "learned") return [];
  const frequencies = rotaryFrequencies(headSize, positions.rotaryBase, positions.scaling);
  const half = frequencies.length;
  const angles = Float32Array.from(
    { length: contextLength * half },
    (_, i) => Math.floor(i / half) * frequencies[i % half],
  );
  return [
    graph.constant("cosines", "float32", [contextLength, half], angles.map(Math.cos)),
    graph.constant("sines", "float32", [contextLength, half], angles.map(Math.sin)),
  ];
}

/** An ONNX graph that is being written. */
class GraphBuilder {
  readonly given: Record<string, Tensor> = {};
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers = new Map<string, OnnxInitializer>();
  private readonly inputs = new Map<string, OnnxPort>();
  private readonly outputs: OnnxPort[] = [];
  private readonly outputNames = new Map<string, string>();

  constructor(private readonly weightsAreInputs: boolean) {}

  input(name: string, dtype: OnnxPort["dtype"], shape: OnnxPort["shape"]): string {
    this.inputs.set(name, { name, dtype, shape });
    return name;
  }

  weight(name: string, tensor: Tensor): string {
    if (!this.weightsAreInputs) return this.constant(name, "float32", tensor.shape, tensor.data);
    this.given[name] = tensor;
    return this.input(name, "float32", tensor.shape);
  }

  constant(
    name: string,
    dtype: OnnxInitializer["dtype"],
    shape: readonly number[],
    data: ArrayBufferView,
  ): string {
    if (!this.initializers.has(name)) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      this.initializers.set(name, { name, dtype, shape, bytes });
    }
    return name;
  }

  integers(values: readonly number[]): string {
    return this.constant(`[${values}]`, "int64", [values.length], BigInt64Array.from(values, BigInt));
  }

  integer(value: number): string {
    return this.constant(`${value}`, "int64", [], BigInt64Array.of(BigInt(value)));
  }

  add(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain?: string,
  ): string {
    return this.addAll(op, inputs, 1, attributes, domain)[0];
  }

  /** @param wanted which of the outputs are used */
  addAll(
    op: string,
    inputs: readonly string[],
    count: number,
    attributes: Readonly<Record<string, Attribute>>,
    domain?: string,
    wanted: readonly number[] = [0],
  ): string[] {
    const outputs = Array.from({ length: count }, (_, i) =>
      wanted.includes(i) ? `v${this.nodes.length}.${i}` : "",
    );
    this.nodes.push({ op, inputs, outputs, attributes, ...(domain && { domain }) });
    return outputs;
  }

  /** Makes the result of a node an output, under a name of its own. */
  output(name: string, tensor: string, shape: OnnxPort["shape"]): void {
    this.outputNames.set(tensor, name);
    this.outputs.push({ name, dtype: "float32", shape });
  }

  model(name: string): OnnxModel {
    const renamed = (names: readonly string[]) =>
      names.map((tensor) => this.outputNames.get(tensor) ?? tensor);
    return {
      name,
      doc: "",
      nodes: this.nodes.map((node) => ({
        ...node,
        inputs: renamed(node.inputs),
        outputs: renamed(node.outputs),
      })),
      initializers: [...this.initializers.values()],
      inputs: [...this.inputs.values()],
      outputs: this.outputs,
    };
  }
}
