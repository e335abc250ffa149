// Pretraining of a language model of a million parameters on packed documents: here against PyTorch eager, in turns, in one run.
//
//   npm run bench:lm-train [-- --rounds 5] [-- --json]
//
// Ours is a whole training by `createTrainer`, from the choice of rows to the reading of losses. PyTorch is Debian's
// python3-torch (or any `python3` that can `import torch`); without it only our side is timed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { namedLeaves, Tensor } from "@outgrow/engine";
import {
  createRandom,
  createTrainer,
  flatTree,
  initTransformer,
  languageModelOptimizer,
  nextTokenLoss,
  packDocuments,
  transformerConfig,
} from "outgrow";
import { inTurns, median, report, startPeer } from "./harness.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    json: { type: "boolean" },
  },
});
const config = transformerConfig("llama", {
  vocabularySize: 512,
  contextLength: 128,
  width: 128,
  layers: 5,
  heads: 4,
  keyValueHeads: 2,
  innerWidth: 344,
});
const batch = 32;
const learningRate = 1e-3;
const weightDecay = 0.1;
const STEPS_PER_ROUND = 8;
const LOSS_STEPS = 12;

const random = createRandom("bench/lm-train");
/** Sentences of a small Markov chain, so that there is something to learn. */
const documents = Array.from({ length: 3000 }, () => {
  let state = random.integer(config.vocabularySize);
  const ids = Int32Array.from({ length: 16 + random.integer(100) }, () => {
    state = (7 * state + random.integer(4)) % config.vocabularySize;
    return state;
  });
  return { ids };
});
const rows = packDocuments(documents, config);
const count = rows.tokens.shape[0];
const params = initTransformer(config, random);
const flat = flatTree(params);
const order = Int32Array.from({ length: LOSS_STEPS * batch }, () => random.integer(count));
const perStep = (batch * rows.segments.data.reduce((sum, segment) => sum + (segment > 0), 0)) / count;

const compileStarted = performance.now();
const trainer = await createTrainer({
  name: "language model",
  params,
  columns: rows,
  batchSize: batch,
  optimizer: { ...languageModelOptimizer, weightDecay },
  loss: nextTokenLoss(config),
});
const compileMs = performance.now() - compileStarted;

/** Trains for some steps from the start. */
async function ours(steps) {
  const started = performance.now();
  const { losses } = await trainer.fit(params, rows, {
    order: order.subarray(0, steps * batch),
    learningRate,
    schedule: { decay: "constant" },
    random,
  });
  return { ms: (performance.now() - started) / steps, losses };
}

const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
writeFileSync(join(folder, "parameters.f32"), Buffer.from(flat.flatten(params).data.buffer));
for (const [name, { data }] of Object.entries(rows))
  writeFileSync(join(folder, name), Buffer.from(data.buffer));
const isTensor = (node) => node instanceof Tensor;
const leaves = namedLeaves(params, isTensor).map(([name, tensor]) => [name, tensor.shape]);
const spec = { config, batch, learningRate, weightDecay, leaves, order: [...order] };
writeFileSync(join(folder, "spec.json"), JSON.stringify(spec));

const peer = await startPeer("lm_step.py", [folder]);
const torch = peer?.ready.torch;
const { losses } = await ours(LOSS_STEPS);
const reference = peer ? (await peer.ask({ steps: LOSS_STEPS, threads: 1, first: 0 })).losses : losses;
const apart = Math.max(...reference.map((loss, i) => Math.abs(loss - losses[i])));
const theirs = (threads) => async () => (await peer.ask({ steps: STEPS_PER_ROUND, threads, first: 0 })).ms;
const times = await inTurns(Number(options.rounds), {
  ours: async () => (await ours(STEPS_PER_ROUND)).ms,
  ...(peer ? { 1: theirs(1), 2: theirs(2) } : {}),
});
peer?.stop();
rmSync(folder, { recursive: true });
const mine = median(times.ours);
const best = torch ? Math.min(median(times[1]), median(times[2])) : null;
const perSecond = (ms) => (1000 * perStep) / ms;
report([
  {
    name: `pretraining, ${(flat.size / 1e6).toFixed(2)} million parameters`,
    unit: "tokens/s",
    ours: perSecond(mine),
    peer: best && perSecond(best),
    ratio: best && best / mine,
    target: ">= 1.5",
    note: torch
      ? `${mine.toFixed(0)} ms a step of ${batch} rows of ${config.contextLength}; PyTorch ${torch} eager, best of 1 thread (${median(times[1]).toFixed(0)} ms) and 2 (${median(times[2]).toFixed(0)} ms); losses of ${LOSS_STEPS} steps, from ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)}, at most ${apart.toExponential(0)} apart`
      : "no PyTorch here",
  },
  { name: "compile: trace, lower, session", unit: "ms", ours: compileMs },
]);
if (apart > 1e-3) {
  console.error(`losses here    ${losses}\nlosses PyTorch ${reference}`);
  process.exitCode = 1;
}
await trainer.dispose();
