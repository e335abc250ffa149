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
import { type Lowered, lower } from "./lower/lower.js";
import { finish } from "./onnx/finish.js";
import { encodeModel, type OnnxModel, type OnnxPort } from "./onnx/model.js";
import { createSession } from "./session.js";
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

/** The program as one session; undefined where something in it has no lowering and may run on jax-js. */
async function openLowered(source: Source): Promise<Opened | undefined> {
  const { name, fn, args, traced, paths, options, adapt } = source;
  // On other devices, and in the ONNX file, convolutions are the standard operator.
  const onCpu = (options.device ?? "cpu") === "cpu";
  const convolves = traced.jaxpr.eqns.some(({ primitive }) => primitive === "conv");
  const block = onCpu && convolves ? await channelBlock() : 1;
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
  const modelOf = (graph: Lowered) => adapt(finish(name, graph, paths, options.outputNames ?? []));
  const model = modelOf(lowered);
  const standardModel = () => (block === 1 ? model : modelOf(lower(traced)));
  return { ...(await openSession(name, model, lowered, options)), model, standardModel, fallbacks: [] };
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
      const part = await openSession(name, finish(name, lowered, places, []), lowered, options);
      threads = Math.max(threads, part.threads);
      return part.session;
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
function mostThreads(): number {
  const allowed = Number(process.env.OUTGROW_THREADS);
  return Number.isSafeInteger(allowed) && allowed > 0 ? allowed : availableParallelism();
}

async function openSession(
  name: string,
  model: OnnxModel,
  { multiplyAdds }: Lowered,
  { device = "cpu", threads: wanted, arena = true, deterministic = true, cache }: CompileOptions,
): Promise<{ session: Session; threads: number }> {
  const parallel = multiplyAdds >= SINGLE_THREAD_BELOW;
  const threads = wanted ?? (parallel ? mostThreads() : 1);
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: [device],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    enableCpuMemArena: arena,
    // Memory planned ahead spares a small program 4 microseconds a run, and costs a large one a third more memory.
    enableMemPattern: !parallel,
    extra: { session: { use_deterministic_compute: deterministic ? "1" : "0" } },
  };
  const session = await (device === "cpu"
    ? createSession(model, options, cache)
    : sessionOn(device, name, encodeModel(model), options));
  return { session, threads };
}
