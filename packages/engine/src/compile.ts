import { availableParallelism } from "node:os";
import type { Array as JaxArray } from "@jax-js/jax";
import * as ort from "onnxruntime-node";
import { ProgramError, UnsupportedPrimitiveError } from "./errors.js";
import { type Lowered, lower } from "./lower/lower.js";
import { encodeModel, type OnnxModel, type OnnxNode, type OnnxPort } from "./onnx/model.js";
import {
  flattenTree,
  isBranch,
  leavesInOrderOf,
  type MapTree,
  namedLeaves,
  Tensor,
  type TensorData,
} from "./tensor.js";
import { describe, trace } from "./trace.js";

export interface CompileOptions {
  /** Name in errors and in the ONNX file. Default: the function's name. */
  name?: string;
  /**
   * Threads of one run. Default: 1 for programs whose products take fewer than about 100 million multiply-and-adds,
   * where more threads cost more than they bring; else one for each core.
   */
  threads?: number;
  /** Names of the result's leaves in the ONNX file. Default: out0, out1, ... */
  outputNames?: readonly string[];
  /** The same bits in every run and with every number of threads. Default: true. */
  deterministic?: boolean;
}

interface ProgramBase {
  /** Threads that a run uses. */
  readonly threads: number;
  /** The program as an ONNX file of standard operators, with named and documented inputs and outputs. */
  toOnnx(): Uint8Array;
  /** Frees the session. Using the program afterwards throws ProgramError. */
  dispose(): Promise<void>;
}

/** A compiled function of tensors. */
export interface Program<Args extends readonly unknown[], Result> extends ProgramBase {
  run(...args: Args): Promise<Result>;
}

/** A compiled step `(carry, ...inputs) => [carry, result]`; it keeps the carry between runs. */
export interface CarryProgram<Carry, Inputs extends readonly unknown[], Result> extends ProgramBase {
  /** One step: replaces the carry and returns the rest of the result. */
  run(...inputs: Inputs): Promise<Result>;
  /** A copy of the present carry. */
  carry(): Carry;
  /** Replaces the carry, e.g. by that of a checkpoint. */
  setCarry(carry: Carry): void;
}

/** A tree of a traced function's arrays, as the caller of the compiled program sees it. */
export type Outside<T> = MapTree<T, JaxArray, Tensor>;

type OutsideAll<Args extends readonly unknown[]> = { [K in keyof Args]: Outside<Args[K]> };
type TracedFunction = (...args: never[]) => unknown;

/**
 * Compiles a jax-js function for ONNX Runtime. `fn` may use each array as often as it likes: reference counts are
 * not its concern. Only shapes and types of `exampleArgs` (trees of Tensors) matter.
 *
 * @throws UnsupportedPrimitiveError where `fn` uses what has no lowering
 */
export async function compile<Args extends readonly unknown[], Result>(
  fn: (...args: Args) => Result,
  exampleArgs: OutsideAll<Args>,
  options: CompileOptions = {},
): Promise<Program<OutsideAll<Args>, Outside<Result>>> {
  const program = await Executable.create(fn as TracedFunction, exampleArgs, options);
  return {
    threads: program.threads,
    run: async (...args) => program.rebuild(await program.execute(program.feeds(args, 0))) as Outside<Result>,
    toOnnx: () => program.toOnnx(),
    dispose: () => program.dispose(),
  };
}

/**
 * Compiles a step `(carry, ...inputs) => [newCarry, result]` and keeps the carry inside, in two sets of buffers that
 * take turns as input and output, so that no step copies it. The new carry must have the carry's tree, shapes and
 * types. `exampleArgs[0]` is the first carry.
 */
export async function compileStep<Carry, Inputs extends readonly unknown[], Result>(
  fn: (carry: Carry, ...inputs: Inputs) => readonly [Carry, Result],
  exampleArgs: readonly [Outside<Carry>, ...OutsideAll<Inputs>],
  options: CompileOptions = {},
): Promise<CarryProgram<Outside<Carry>, OutsideAll<Inputs>, Outside<Result>>> {
  const args: readonly unknown[] = exampleArgs;
  const name = options.name ?? (fn.name || "program");
  const step = (carry: Carry, ...inputs: Inputs) => {
    const pair: unknown = fn(carry, ...inputs);
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new ProgramError(`The step "${name}" must return [carry, result].`);
    }
    return [carryLeaves(name, args[0], pair[0]), pair[1]];
  };
  const program = await Executable.create(step as TracedFunction, args, { ...options, name });
  const [first, rebuildCarry] = flattenTree<Tensor>(args[0]);
  program.checkCarry(first);

  const allocate = (leaves: readonly Tensor[]) => leaves.map((leaf) => toOrt(copyOf(leaf)));
  let current = allocate(first);
  let spare = allocate(first);
  let running = false;
  return {
    threads: program.threads,
    async run(...inputs) {
      if (running) throw program.busy();
      running = true;
      try {
        const feeds = program.feeds(inputs, 1);
        current.forEach((tensor, i) => {
          feeds[program.inputNames[i]] = tensor;
        });
        const results = await program.execute(feeds, spare);
        [current, spare] = [spare, current];
        const [, result] = program.rebuild(results) as [unknown, unknown];
        return result as Outside<Result>;
      } finally {
        running = false;
      }
    },
    carry: () => rebuildCarry(current.map((tensor) => copyOf(fromOrt(tensor)))) as Outside<Carry>,
    setCarry(carry) {
      if (running) throw program.busy();
      const leaves = program.leaves([carry], 0, 1);
      leaves.forEach((leaf, i) => {
        (current[i].data as TensorData).set(leaf.data);
      });
    },
    toOnnx: () => program.toOnnx(),
    dispose: () => program.dispose(),
  };
}

/** The leaves of a step's new carry in the order of its carry's; refused where the trees differ. */
function carryLeaves(name: string, carry: unknown, next: unknown): unknown[] {
  const refuse = (what: string) =>
    new ProgramError(`The step "${name}" must return its carry as it takes it: ${what} in the new carry.`);
  const leaves = leavesInOrderOf(carry, next, (path, problem) => refuse(`${path} is ${problem}`));
  if (leaves.some(isBranch)) throw refuse("a tree stands in place of an array");
  return leaves;
}

/** Programs with fewer multiply-and-adds than this run on one thread: a 40-256-256-64 MLP step (35 million) takes as long on two. */
const SINGLE_THREAD_BELOW = 100e6;

class Executable {
  private session: ort.InferenceSession | undefined;
  private latestRun: Promise<ort.InferenceSession.ReturnType> | undefined;

  private constructor(
    readonly name: string,
    private readonly model: OnnxModel,
    session: ort.InferenceSession,
    readonly threads: number,
    readonly inputNames: readonly string[],
    private readonly inputPaths: readonly string[],
    /** The trees of the arguments, with the path of each leaf in its place. */
    private readonly argumentTrees: readonly unknown[],
    private readonly inputTypes: readonly { dtype: string; shape: readonly number[] }[],
    private readonly outputs: Lowered["outputs"],
    readonly rebuild: (leaves: unknown[]) => unknown,
  ) {
    this.session = session;
  }

  static async create(
    fn: TracedFunction,
    args: readonly unknown[],
    options: CompileOptions,
  ): Promise<Executable> {
    const name = options.name ?? (fn.name || "program");
    let lowered: Lowered;
    const traced = await trace(fn, args);
    try {
      lowered = lower(traced);
    } catch (error) {
      if (error instanceof UnsupportedPrimitiveError) throw new UnsupportedPrimitiveError(error.what, name);
      throw error;
    }
    const paths = namedLeaves(args as never, (node): node is never => node instanceof Tensor).map(
      ([path]) => path,
    );
    const model = finish(name, lowered, paths, options.outputNames ?? []);
    const parallel = lowered.multiplyAdds >= SINGLE_THREAD_BELOW;
    const threads = options.threads ?? (parallel ? availableParallelism() : 1);
    const session = await ort.InferenceSession.create(encodeModel(model), {
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      extra: { session: { use_deterministic_compute: options.deterministic === false ? "0" : "1" } },
    });
    return new Executable(
      name,
      model,
      session,
      threads,
      model.inputs.map((port) => port.name),
      paths,
      flattenTree(args)[1](paths) as unknown[],
      traced.inputs,
      model.outputs.map((port, i) => ({ ...lowered.outputs[i], name: port.name })),
      traced.unflattenOutput,
    );
  }

  /** The tensors of the arguments from the one with index `first` on, under the names of their inputs; checked. */
  feeds(args: readonly unknown[], first: number): Record<string, ort.Tensor> {
    const leaves = this.leaves(args, first, this.argumentTrees.length);
    const offset = this.inputNames.length - leaves.length;
    return Object.fromEntries(leaves.map((leaf, i) => [this.inputNames[offset + i], toOrt(leaf)]));
  }

  /** The leaves of the arguments with indices from `first` to before `end`, in the order of the inputs; checked. */
  leaves(args: readonly unknown[], first: number, end: number): Tensor[] {
    const number = (list: readonly unknown[]) => Object.fromEntries(list.map((arg, i) => [first + i, arg]));
    const trees = number(this.argumentTrees.slice(first, end));
    const [paths] = flattenTree<string>(trees);
    const offset = this.inputPaths.indexOf(paths[0]);
    const leaves = leavesInOrderOf(trees, number(args), (path, problem) => {
      const what = problem === "missing" ? "is missing" : "is not one that it was compiled for";
      return new ProgramError(`Argument ${path} of "${this.name}" ${what}.`);
    });
    leaves.forEach((leaf, i) => {
      this.checkLeaf(leaf, offset + i);
    });
    return leaves as Tensor[];
  }

  private checkLeaf(leaf: unknown, index: number): void {
    const { dtype, shape } = this.inputTypes[index];
    if (!(leaf instanceof Tensor) || leaf.dtype !== dtype || leaf.shape.join() !== shape.join()) {
      const given = leaf instanceof Tensor ? `${leaf.dtype}[${leaf.shape}]` : describe(leaf);
      throw new ProgramError(
        `Argument ${this.inputPaths[index]} of "${this.name}" must be ${dtype}[${shape}], as it was compiled for; ` +
          `given: ${given}.`,
      );
    }
  }

  /** Refuses a step whose new carry differs in shape or type from its carry. */
  checkCarry(leaves: readonly Tensor[]): void {
    leaves.forEach((leaf, i) => {
      const output = this.outputs[i];
      if (output?.dtype !== leaf.dtype || output.shape.join() !== leaf.shape.join()) {
        throw new ProgramError(
          `The step "${this.name}" must return its carry as it takes it. Leaf ${this.inputPaths[i]} is ` +
            `${leaf.dtype}[${leaf.shape}] going in and ${output ? `${output.dtype}[${output.shape}]` : "missing"} coming out.`,
        );
      }
    });
  }

  /** Runs the session. The first outputs are written into `into`; the others are newly allocated. */
  async execute(feeds: Record<string, ort.Tensor>, into: readonly ort.Tensor[] = []): Promise<Tensor[]> {
    if (!this.session) throw new ProgramError(`The program "${this.name}" was used after dispose().`);
    const fetches: Record<string, ort.Tensor | null> = {};
    this.outputs.forEach((output, i) => {
      fetches[output.name] = into[i] ?? null;
    });
    this.latestRun = this.session.run(feeds, fetches);
    const results = await this.latestRun;
    return this.outputs.map((output) => fromOrt(results[output.name] as ort.Tensor));
  }

  toOnnx(): Uint8Array {
    return encodeModel(this.model);
  }

  busy(): ProgramError {
    return new ProgramError(`A step of "${this.name}" is still running; await it first.`);
  }

  async dispose(): Promise<void> {
    const session = this.session;
    this.session = undefined;
    // Runs end in the order in which they began.
    await this.latestRun?.catch(() => {});
    await session?.release();
  }
}

/** The graph as a model: only live nodes, and an output of its own for each leaf of the result. */
function finish(
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

const toOrt = (tensor: Tensor): ort.Tensor => new ort.Tensor(tensor.dtype, tensor.data, tensor.shape);

const fromOrt = (tensor: ort.Tensor): Tensor => new Tensor(tensor.data as TensorData, tensor.dims);

const copyOf = (tensor: Tensor): Tensor => new Tensor(tensor.data.slice(), tensor.shape);
