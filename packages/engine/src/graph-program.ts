import * as ort from "onnxruntime-node";
import { ProgramError } from "./errors.js";
import { fromOrt, toOrt } from "./executable.js";
import { encodeModel, type OnnxModel } from "./onnx/model.js";
import { mostThreads } from "./open.js";
import type { Tensor } from "./tensor.js";

export interface GraphOptions {
  /** Threads of one run. Default: one for each core, or what OUTGROW_THREADS allows. */
  threads?: number;
  /** The same bits in every run. Default: true. */
  deterministic?: boolean;
}

/** A program that was written in ONNX operators. */
export interface GraphProgram {
  readonly threads: number;
  /**
   * Runs it. Tensors are read where they are, without a copy, so that large ones that hardly change cost nothing.
   *
   * @param inputs by name, of the graph's element types; lengths that have a name in the graph may differ in each run
   * @returns the outputs by name
   */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  /** Frees it once the runs that began before have ended. */
  dispose(): Promise<void>;
}

/**
 * Opens a graph of ONNX operators on the CPU: for what `compile` cannot say, which are lengths that each run decides and
 * operators of ONNX Runtime's own.
 */
export async function openGraph(
  model: OnnxModel,
  { threads = mostThreads(), deterministic = true }: GraphOptions = {},
): Promise<GraphProgram> {
  const session = await ort.InferenceSession.create(encodeModel(model), {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    // Plans of memory are made for each combination of lengths, and kept.
    enableMemPattern: false,
    extra: { session: { use_deterministic_compute: deterministic ? "1" : "0" } },
  });
  // The same tensors come again and again; what ONNX Runtime needs to know of each is made once.
  const known = new WeakMap<Tensor, ort.Tensor>();
  const wrapped = (tensor: Tensor) => {
    let own = known.get(tensor);
    if (!own) {
      own = toOrt(tensor);
      known.set(tensor, own);
    }
    return own;
  };
  const feedsOf = (inputs: Readonly<Record<string, Tensor>>) => {
    const feeds: Record<string, ort.Tensor> = {};
    for (const name of session.inputNames) {
      const given = inputs[name];
      if (!given) throw new ProgramError(`The input "${name}" of "${model.name}" is missing.`);
      feeds[name] = wrapped(given);
    }
    return feeds;
  };
  let latestRun: Promise<unknown> | undefined;
  let disposed = false;
  return {
    threads,
    async run(inputs) {
      if (disposed) throw new ProgramError(`The program "${model.name}" was used after dispose().`);
      const feeds = feedsOf(inputs);
      const running = session.run(feeds);
      latestRun = running;
      const results = await running;
      const outputs: Record<string, Tensor> = {};
      for (const name of session.outputNames) outputs[name] = fromOrt(results[name]);
      return outputs;
    },
    async dispose() {
      if (disposed) return;
      disposed = true;
      await latestRun?.catch(() => {});
      await session.release();
    },
  };
}
