// Training of two small MLPs with Adam: against PyTorch eager, and 16 seeds at once against 16 in a row.
//
//   npm run bench -- mlp      or      node bench/mlp.mjs [--rounds 3] [--json]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as jax from "@jax-js/jax";
import { compileSteps, namedLeaves, scalar, Tensor } from "@outgrow/engine";
import { adamW, adamWDefaults, applyMlp, createRandom, flatTree, initMlp } from "outgrow";
import { inTurns, median, milliseconds, report, startPeer } from "./harness.mjs";

const { numpy: np, nn } = jax;
const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, json: { type: "boolean" } },
});
const ROUNDS = Number(options.rounds);
const MODELS = {
  "40-256-256-64": { hidden: [256, 256], target: ">= 1.3", seedsTarget: ">= 3" },
  "40-20-20-64": { hidden: [20, 20], target: ">= 3", seedsTarget: ">= 8" },
};
const [inputSize, outputSize, batch, learningRate] = [40, 64, 128, 1e-3];
const STEPS = 2000;
const STEPS_A_RUN = 50;
const BATCHES = 500;
const SEEDS = 16;
/** Of each seed: 16 in a row of the larger MLP take a quarter of a minute for 1,000. */
const SEED_STEPS = 200;

const random = createRandom("bench/mlp");
const x = new Float32Array(random.normals(BATCHES * batch * inputSize, 1));
const teacher = random.normals(inputSize * outputSize, 1);
/** The class on which a random linear teacher scores highest, so that there is something to learn. */
const y = Int32Array.from({ length: BATCHES * batch }, (_, row) => {
  const scores = Array.from({ length: outputSize }, (_, k) => {
    let score = 0;
    for (let i = 0; i < inputSize; i++) score += x[row * inputSize + i] * teacher[i * outputSize + k];
    return score;
  });
  return scores.indexOf(Math.max(...scores));
});

/** Batches by number, stacked; each `[...shape, batch, inputSize]` and `[...shape, batch]`. */
function batches(numbers, shape) {
  const gather = (source, width) => {
    const data = new source.constructor(numbers.length * width);
    numbers.forEach((n, i) => {
      const start = (n % BATCHES) * width;
      data.set(source.subarray(start, start + width), i * width);
    });
    return data;
  };
  return {
    x: new Tensor(gather(x, batch * inputSize), [...shape, batch, inputSize]),
    y: new Tensor(gather(y, batch), [...shape, batch]),
  };
}
/** What a run of STEPS_A_RUN steps takes, for each run of a training; `own` are the seeds that it is made of. */
const runsOf = (steps, own) =>
  Array.from({ length: steps / STEPS_A_RUN }, (_, run) => {
    const at = Array.from({ length: STEPS_A_RUN }, (_, k) => run * STEPS_A_RUN + k);
    if (!Array.isArray(own))
      return batches(
        at.map((step) => step + 31 * own),
        [STEPS_A_RUN],
      );
    return batches(
      at.flatMap((step) => own.map((seed) => step + 31 * seed)),
      [STEPS_A_RUN, own.length],
    );
  });

const stack = (tensors) => {
  const [{ data, shape }] = tensors;
  const all = new data.constructor(tensors.length * data.length);
  tensors.forEach((tensor, i) => {
    all.set(tensor.data, i * data.length);
  });
  return new Tensor(all, [tensors.length, ...shape]);
};

function prepare(hidden) {
  const config = { inputSize, hidden, outputSize };
  const seeds = Array.from({ length: SEEDS }, (_, seed) =>
    initMlp(config, createRandom(`bench/mlp/${seed}`)),
  );
  const flat = flatTree(seeds[0]);
  const trainStep = (carry, { x, y }) => {
    const loss = (params) =>
      nn.logSoftmax(applyMlp(params, x), -1).mul(nn.oneHot(y, outputSize)).sum(-1).mean().neg();
    const [value, gradient] = jax.valueAndGrad(loss)(flat.split(carry.parameters));
    const rate = np.array(learningRate);
    const vector = flat.concatenate(gradient);
    const [parameters, state] = adamW(adamWDefaults, carry.parameters, vector, carry.state, rate);
    return [{ parameters, state }, value];
  };
  const zeros = () => new Tensor(new Float32Array(flat.size));
  const start = (seed) => ({
    parameters: flat.flatten(seeds[seed]),
    state: { m: zeros(), v: zeros(), step: scalar(0) },
  });
  return { seeds, flat, trainStep, start };
}

/** One training from a carry; the losses of all steps. */
async function train(program, carry, runs) {
  program.setCarry(carry);
  const losses = [];
  for (const inputs of runs) losses.push(...(await program.run(inputs)).data);
  return losses;
}

const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
const models = Object.fromEntries(
  Object.entries(MODELS).map(([name, { hidden }]) => [name, prepare(hidden)]),
);
const spec = { batch, inputSize, learningRate, models: {} };
for (const [name, { seeds, flat }] of Object.entries(models)) {
  writeFileSync(join(folder, `${name}.f32`), flat.flatten(seeds[0]).data);
  const leaves = namedLeaves(seeds[0], (node) => node instanceof Tensor);
  spec.models[name] = leaves.map(([leaf, { shape }]) => [leaf, shape]);
}
writeFileSync(join(folder, "inputs.f32"), x);
writeFileSync(join(folder, "labels.i32"), y);
writeFileSync(join(folder, "spec.json"), JSON.stringify(spec));
/** A process for each number of threads: its BLAS counts threads when it is loaded. */
const peers = [];
for (const threads of [1, 2]) {
  const env = { OMP_NUM_THREADS: `${threads}`, OPENBLAS_NUM_THREADS: `${threads}` };
  const peer = await startPeer("mlp_step.py", [folder], { env });
  if (peer) peers.push({ peer, threads });
}

/** PyTorch's fastest setting: its threads, and Adam one tensor at a time or all at once. */
async function fastestPeer(model) {
  let best;
  for (const { peer, threads } of peers) {
    for (const foreach of [false, true]) {
      const request = { model, threads, foreach };
      const { ms } = await peer.ask({ ...request, steps: 300 });
      if (!best || ms < best.ms) best = { ms, peer, request };
    }
  }
  return best;
}

/** The program that took the least time; frees the others. */
async function fastest(choices, tried) {
  const programs = [];
  for (const choice of choices) programs.push(await tried(choice));
  const [best, ...others] = programs.sort((one, other) => one.ms - other.ms);
  for (const { program } of others) await program.dispose();
  return best.program;
}

const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
const figures = [];
let disagreement = false;
for (const [name, { target, seedsTarget }] of Object.entries(MODELS)) {
  const { trainStep, start } = models[name];
  const one = batches([0], []);
  const program = await compileSteps(trainStep, [start(0), one], { name: "mlpStep" });
  const runs = runsOf(STEPS, 0);
  const fastPeer = await fastestPeer(name);
  let [ours, theirs] = [[], []];
  const times = await inTurns(ROUNDS, {
    async ours() {
      const started = performance.now();
      ours = await train(program, start(0), runs);
      return (performance.now() - started) / STEPS;
    },
    async peer() {
      if (!fastPeer) return null;
      const { ms, losses } = await fastPeer.peer.ask({ ...fastPeer.request, steps: STEPS });
      theirs = losses;
      return ms;
    },
  });
  const ms = median(times.ours);
  const peerMs = fastPeer ? median(times.peer) : null;
  let note = "no PyTorch here";
  if (fastPeer) {
    const { threads, foreach } = fastPeer.request;
    const [last, theirLast] = [ours, theirs].map((losses) => mean(losses.slice(-100)));
    const same = ours.findIndex((loss, i) => Math.abs(loss - theirs[i]) > 1e-3);
    if (same !== -1 && (same < 50 || Math.abs(last - theirLast) > 0.02 * theirLast)) disagreement = true;
    note =
      `PyTorch ${fastPeer.peer.ready.torch} eager, ${threads} thread(s)${foreach ? ", foreach" : ""}, its best; losses ` +
      `equal to 0.001 for ${same === -1 ? STEPS : same} steps, mean of the last 100: ${last.toFixed(4)} here, ` +
      `${theirLast.toFixed(4)} there`;
  }
  figures.push({
    name: `MLP ${name}, ${STEPS} Adam steps`,
    unit: "ms/step",
    ours: ms,
    peer: peerMs,
    ratio: peerMs && peerMs / ms,
    target,
    note,
  });

  const everySeed = Array.from({ length: SEEDS }, (_, seed) => seed);
  const starts = everySeed.map(start);
  const startOfAll = jax.tree.map((...leaves) => stack(leaves), ...starts);
  const together = runsOf(SEED_STEPS, everySeed);
  const atOnce = await fastest([1, 2], async (threads) => {
    const args = [startOfAll, batches(everySeed, [SEEDS])];
    const program = await compileSteps(jax.vmap(trainStep), args, { name: "mlpSeeds", threads });
    await program.run(together[0]);
    return { program, ms: await milliseconds(() => program.run(together[1])) };
  });
  const alone = everySeed.map((seed) => runsOf(SEED_STEPS, seed));
  let [inRow, joint] = [[], []];
  const seedTimes = await inTurns(ROUNDS, {
    async atOnce() {
      const started = performance.now();
      joint = await train(atOnce, startOfAll, together);
      return (performance.now() - started) / SEED_STEPS;
    },
    async inRow() {
      const started = performance.now();
      inRow = [];
      for (const seed of everySeed) inRow.push(await train(program, starts[seed], alone[seed]));
      return (performance.now() - started) / SEED_STEPS;
    },
  });
  const difference = Math.max(
    ...joint.map((loss, i) => Math.abs(loss - inRow[i % SEEDS][Math.floor(i / SEEDS)])),
  );
  if (!(difference < 0.01)) disagreement = true;
  const [jointMs, rowMs] = [median(seedTimes.atOnce), median(seedTimes.inRow)];
  figures.push({
    name: `MLP ${name}, ${SEEDS} seeds at once`,
    unit: "ms/step of all",
    ours: jointMs,
    peer: rowMs,
    ratio: rowMs / jointMs,
    target: seedsTarget,
    note:
      `peer: ours, ${SEEDS} trainings in a row; ${atOnce.threads} thread(s) at once, its best, ${program.threads} in a row; ` +
      `largest difference of a loss ${difference.toExponential(0)}`,
  });
  await program.dispose();
  await atOnce.dispose();
}
for (const { peer } of peers) peer.stop();
rmSync(folder, { recursive: true });
report(figures);
if (disagreement) {
  console.error("The losses of the two sides disagree.");
  process.exitCode = 1;
}
