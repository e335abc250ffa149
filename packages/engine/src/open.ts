import { availableParallelism } from "node:os";
import type * as ort from "onnxruntime-node";
import { channelBlock } from "./channel-block.js";
import { lowerProgram } from "./checked-trace.js";
import { sessionOn } from "./devices.js";
import { UnsupportedPrimitiveError } from "./errors.js";
import type { CompileOptions, TracedFunction } from "./executable.js";
import { SegmentedSession, type Session } from "./fallback/segmented-session.js";
import { unlowered } from "./fallback/segments.js";
import { type Steps, StepwiseSession } from "./fallback/stepwise-session.js";
import { type Lowered, lower, multiplyAdds } from "./lower/lower.js";
import { finish } from "./onnx/finish.js";
import { encodeModel, type OnnxModel, type OnnxPort } from "./onnx/model.js";
import { programKey } from "./program-key.js";
import { KeptSession } from "./session.js";
import type { Traced } from "./trace.js";

/** What is compiled, and how. */
interface Source {
  name: string;
  fn: TracedFunction;
  args: readonly unknown[];
  traced: Traced;
  /** Of the leaves of the arguments. */
  paths: readonly string[];
  options: CompileOptions;
  /** Given the model of `fn`, without its nodes where a part runs on jax-js; `steps` says what it makes of it. */
  adapt: (model: OnnxModel) => OnnxModel;
  steps?: Steps;
}

export interface Opened {
  session: Session;
  /** The whole program; without its nodes where a part of it runs on jax-js. */
  model: OnnxModel;
  /** The same in standard operators only, for a file. */
  standardModel: () => OnnxModel;
  threads: number;
  fallbacks: readonly string[];
}

/** A traced function as a session, or where something in it has no lowering as several with jax-js between them. */
export async function openProgram(source: Source): Promise<Opened> {
  return (await openLowered(source)) ?? (await openSegmented(source));
}

/** Programs of fewer equations are lowered sooner than their key is found. */
const KEPT_FROM_EQUATIONS = 100;

/** The program as one session; undefined where something in it has no lowering and may run on jax-js. */
async function openLowered(source: Source): Promise<Opened | undefined> {
  const { name, fn, args, traced, paths, options, adapt, steps } = source;
  const { eqns } = traced.jaxpr;
  // On other devices, and in the ONNX file, convolutions are the standard operator.
  const onCpu = (options.device ?? "cpu") === "cpu";
  const block = onCpu && eqns.some(({ primitive }) => primitive === "conv") ? await channelBlock() : 1;
  const modelOf = (graph: Lowered) => adapt(finish(name, graph, paths, options.outputNames ?? []));
  const sessionOptions = sessionOptionsFor(multiplyAdds(eqns), options);
  const threads = sessionOptions.intraOpNumThreads as number;

  const names = [name, paths, options.outputNames, steps, block];
  const key = onCpu && eqns.length >= KEPT_FROM_EQUATIONS ? programKey(traced, names) : undefined;
  const kept = key === undefined ? undefined : KeptSession.at(options.cache, key, sessionOptions);
  const found = await kept?.open();
  if (found) {
    const { session, ports } = found;
    const portsOnly: OnnxModel = { name, doc: "", nodes: [], initializers: [], ...ports };
    // The ports of several steps are adapted already; else adapting checks them.
    const model = steps ? portsOnly : adapt(portsOnly);
    return { session, model, standardModel: () => modelOf(lower(traced)), threads, fallbacks: [] };
  }

  let lowered: Lowered;
  try {
    lowered =
      options.fallback === "refuse"
        ? await lowerProgram(name, fn, args, traced, block)
        : lower(traced, block);
  } catch (error) {
    if (!(error instanceof UnsupportedPrimitiveError) || options.fallback === "refuse") throw error;
    return undefined;
  }
  const model = modelOf(lowered);
  const standardModel = () => (block === 1 ? model : modelOf(lower(traced)));
  const session = await (kept
    ? kept.create(model, encodeModel(model))
    : openSession(name, model, options, sessionOptions));
  return { session, model, standardModel, threads, fallbacks: [] };
}

/** The program as several sessions, with what has no lowering left to jax-js. */
async function openSegmented({ name, traced, paths, options, adapt, steps }: Source): Promise<Opened> {
  const reasons = unlowered(traced.jaxpr);
  let threads = 1;
  const session = await SegmentedSession.create(
    traced,
    (equation) => !reasons.has(equation),
    async (lowered) => {
      const places = lowered.inputs.map(() => "");
      const sessionOptions = sessionOptionsFor(lowered.multiplyAdds, options);
      threads = Math.max(threads, sessionOptions.intraOpNumThreads as number);
      return openSession(name, finish(name, lowered, places, []), options, sessionOptions);
    },
  );
  const inputs = traced.inputs.map(({ dtype, shape }, i) => ({
    name: `in${i}`,
    dtype: dtype as OnnxPort["dtype"],
    shape,
    doc: `argument ${paths[i]}`,
  }));
  try {
    const model = adapt({ name, doc: "", nodes: [], initializers: [], inputs, outputs: session.outputs });
    return {
      session: steps ? new StepwiseSession(session, steps) : session,
      model,
      standardModel: () => model,
      threads,
      fallbacks: [...new Set([...reasons.values()].map(({ what }) => what))],
    };
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** Programs with fewer multiply-and-adds than this run on one thread: a 40-256-256-64 MLP step (35 million) takes as long on two. */
const SINGLE_THREAD_BELOW = 100e6;

/** Threads of a large program: one for each core, or what the environment allows this process. */
export function mostThreads(): number {
  const allowed = Number(process.env.OUTGROW_THREADS);
  return Number.isSafeInteger(allowed) && allowed > 0 ? allowed : availableParallelism();
}

function sessionOptionsFor(
  operations: number,
  { device = "cpu", threads, arena = true, deterministic = true }: CompileOptions,
): ort.InferenceSession.SessionOptions {
  const parallel = operations >= SINGLE_THREAD_BELOW;
  return {
    executionProviders: [device],
    intraOpNumThreads: threads ?? (parallel ? mostThreads() : 1),
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    enableCpuMemArena: arena,
    // Memory planned ahead spares a small program 4 microseconds a run, and costs a large one a third more memory.
    enableMemPattern: !parallel,
    extra: { session: { use_deterministic_compute: deterministic ? "1" : "0" } },
  };
}

const openSession = (
  name: string,
  model: OnnxModel,
  { device = "cpu" }: CompileOptions,
  sessionOptions: ort.InferenceSession.SessionOptions,
): Promise<Session> => sessionOn(device, name, encodeModel(model), sessionOptions);
