// One training step (forward, backward, AdamW) of a small GPT: here against PyTorch eager, in turns, in one run.
//
//   npm run bench:train-step [-- --rounds 7] [-- --json]
//
// PyTorch is Debian's python3-torch (or any `python3` that can `import torch`); without it only our side is timed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as jax from "@jax-js/jax";
import { compile, compileStep, namedLeaves, scalar, Tensor, withoutReferenceCounts } from "@outgrow/engine";
import * as ort from "onnxruntime-node";
import {
  adamW,
  adamWDefaults,
  applyTransformer,
  createRandom,
  flatTree,
  initTransformer,
  tokenLogits,
  transformerConfig,
} from "outgrow";
import { inTurns, median, report, startPeer } from "./harness.mjs";

const { numpy: np, nn } = jax;
const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    json: { type: "boolean" },
    threads: { type: "string" },
    memory: { type: "boolean" }, // only our side, and its peak memory: a process of its own is asked for this
  },
});
const config = transformerConfig("gpt2", {
  vocabularySize: 512,
  contextLength: 128,
  width: 256,
  layers: 4,
  heads: 4,
  mlp: "gelu",
});
const batch = 16;
const learningRate = 1e-3;
const weightDecay = 0.01;
const STEPS_PER_ROUND = 3;
const LOSS_STEPS = 4;

const random = createRandom("bench/train-step");
const parameters = initTransformer(config, random);
const flat = flatTree(parameters);
const tokens = Int32Array.from({ length: batch * (config.contextLength + 1) }, () =>
  random.integer(config.vocabularySize),
);

const pick = (offset) =>
  new Tensor(
    Int32Array.from({ length: batch * config.contextLength }, (_, i) => {
      const row = Math.floor(i / config.contextLength);
      return tokens[row * (config.contextLength + 1) + (i % config.contextLength) + offset];
    }),
    [batch, config.contextLength],
  );

function trainStep(carry, inputs, targets) {
  const loss = (params) => {
    const logits = tokenLogits(params, applyTransformer(config, params, inputs).hidden);
    return nn.logSoftmax(logits, -1).mul(nn.oneHot(targets, config.vocabularySize)).sum(-1).mean().neg();
  };
  const [value, gradient] = jax.valueAndGrad(loss)(flat.split(carry.parameters));
  const optimiser = { ...adamWDefaults, weightDecay };
  const [next, state] = adamW(
    optimiser,
    carry.parameters,
    flat.concatenate(gradient),
    carry.state,
    np.array(learningRate),
  );
  return [{ parameters: next, state }, { loss: value }];
}

const zeros = () => new Tensor(new Float32Array(flat.size));
const carry = () => ({
  parameters: flat.flatten(parameters),
  state: { m: zeros(), v: zeros(), step: scalar(0) },
});
const [inputs, targets] = [pick(0), pick(1)];

const compileStarted = performance.now();
const program = await compileStep(trainStep, [carry(), inputs, targets], {
  threads: options.threads ? Number(options.threads) : undefined,
});
const compileMs = performance.now() - compileStarted;

async function ours(steps) {
  const losses = [];
  const started = performance.now();
  for (let i = 0; i < steps; i++) losses.push((await program.run(inputs, targets)).loss.item());
  return { ms: (performance.now() - started) / steps, losses };
}

/** Peak of this process's memory in MB; null where the system does not tell. */
function peakMegabytes() {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
  } catch {
    return null;
  }
}
if (options.memory) {
  await ours(LOSS_STEPS);
  console.log(JSON.stringify({ megabytes: peakMegabytes() }));
  process.exit();
}

/** The rate of ONNX Runtime's float32 matrix product in GFLOP/s, at best, into memory that is there already. */
async function peakGflops(size) {
  const matrix = new Tensor(
    Float32Array.from({ length: size * size }, () => random.uniform()),
    [size, size],
  );
  const product = await compile((a, b) => np.matmul(a, b), [matrix, matrix]);
  const session = await ort.InferenceSession.create(product.toOnnx(), { intraOpNumThreads: program.threads });
  await product.dispose();
  const tensor = () => new ort.Tensor("float32", matrix.data.slice(), matrix.shape);
  const feeds = Object.fromEntries(session.inputNames.map((name) => [name, tensor()]));
  const fetches = { [session.outputNames[0]]: tensor() };
  let best = Infinity;
  for (let i = 0; i < 10; i++) {
    const started = performance.now();
    await session.run(feeds, fetches);
    best = Math.min(best, performance.now() - started);
  }
  await session.release();
  return (2 * size ** 3) / best / 1e6;
}

/** Losses of the first steps by jax-js itself (Wasm, one thread): the reference for ours. */
async function jaxJsLosses(steps) {
  const toArray = (leaf) =>
    leaf instanceof Tensor ? np.array(leaf.data, { shape: [...leaf.shape], dtype: leaf.dtype }) : leaf;
  const step = jax.jit((...args) => withoutReferenceCounts(() => trainStep(...args)));
  let state = jax.tree.map(toArray, carry());
  const losses = [];
  for (let i = 0; i < steps; i++) {
    const [next, { loss }] = step(state, toArray(inputs), toArray(targets));
    losses.push((await loss.data())[0]);
    state = next;
  }
  return losses;
}

const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
const isTensor = (node) => node instanceof Tensor;
writeFileSync(join(folder, "parameters.f32"), Buffer.from(flat.flatten(parameters).data.buffer));
writeFileSync(join(folder, "tokens.i32"), Buffer.from(tokens.buffer));
const leaves = namedLeaves(parameters, isTensor).map(([name, tensor]) => [name, tensor.shape]);
writeFileSync(
  join(folder, "spec.json"),
  JSON.stringify({ config, batch, learningRate, weightDecay, leaves }),
);

// Memory first, each side in a process that does nothing else.
const alone = spawnSync(process.execPath, [import.meta.filename, "--memory"], { encoding: "utf8" });
const megabytes = alone.status === 0 ? JSON.parse(alone.stdout.trim().split("\n").at(-1)).megabytes : null;
const lonePeer = await startPeer("gpt_step.py", [folder]);
const peerMegabytes = lonePeer ? (await lonePeer.ask({ steps: LOSS_STEPS, threads: 1 })).megabytes : null;
lonePeer?.stop();

const peer = await startPeer("gpt_step.py", [folder]);
const torch = peer?.ready.torch;
const oursFirst = await ours(LOSS_STEPS);
if (peer) await peer.ask({ steps: 2, threads: 1 });
const theirs = (threads) => async () => (await peer.ask({ steps: STEPS_PER_ROUND, threads })).ms;
const times = await inTurns(Number(options.rounds), {
  ours: async () => (await ours(STEPS_PER_ROUND)).ms,
  ...(peer ? { 1: theirs(1), 2: theirs(2) } : {}),
});

/** Of the matrix products: forward, and twice that backward. */
function stepGflop() {
  const { width, layers, contextLength, vocabularySize } = config;
  const perToken = layers * (12 * width * width + 2 * contextLength * width) + vocabularySize * width;
  return (2 * 3 * batch * contextLength * perToken) / 1e9;
}
const gflop = stepGflop();
const reference = await jaxJsLosses(LOSS_STEPS);
const agrees = reference.every((loss, i) => Math.abs(loss - oursFirst.losses[i]) < 1e-3);
const MATMUL_SIZES = [512, 1024, 2048];
let [peak, peerPeak] = [0, 0];
for (const size of MATMUL_SIZES) {
  peak = Math.max(peak, await peakGflops(size));
  for (const threads of peer ? [1, 2] : []) {
    peerPeak = Math.max(peerPeak, (await peer.ask({ matmul: size, threads })).gflops);
  }
}
peer?.stop();
rmSync(folder, { recursive: true });
const mine = median(times.ours);
const best = torch ? Math.min(median(times[1]), median(times[2])) : null;
const rate = (gflop / mine) * 1000;
const bestRate = Math.max(peak, peerPeak);
const figures = [
  {
    name: "GPT training step",
    unit: "ms/step",
    ours: mine,
    peer: best,
    ratio: best && best / mine,
    target: ">= 2",
    note: torch
      ? `PyTorch ${torch} eager, best of 1 thread (${median(times[1]).toFixed(0)} ms) and 2 (${median(times[2]).toFixed(0)} ms); losses ${agrees ? "equal" : "NOT equal"} to jax-js's to 3 decimals`
      : "no PyTorch here",
  },
  {
    name: "share of the best matrix product",
    unit: "%",
    ours: (100 * rate) / bestRate,
    target: ">= 65",
    note: `${rate.toFixed(0)} of ${bestRate.toFixed(0)} GFLOP/s; square products of ${MATMUL_SIZES.join(", ")} at best: ONNX Runtime ${peak.toFixed(0)}, PyTorch ${peerPeak.toFixed(0)}; ${gflop.toFixed(1)} GFLOP a step`,
  },
  ...(megabytes === null
    ? []
    : [
        {
          name: "peak memory of the step",
          unit: "MB",
          ours: megabytes,
          peer: peerMegabytes,
          ratio: peerMegabytes && peerMegabytes / megabytes,
          target: ">= 1",
          note: "resident, each in a process of its own",
        },
      ]),
  { name: "compile: trace, lower, session", unit: "ms", ours: compileMs, target: "< 1500" },
];
report(figures);
if (!agrees) {
  console.error(`losses jax-js ${reference}\nlosses here   ${oursFirst.losses}`);
  process.exitCode = 1;
}
await program.dispose();
