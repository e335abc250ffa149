// Greedy decoding by a Llama of about a million parameters, one text at a time and 64 side by side: here against PyTorch
// eager with a cache of keys and values, and against llama.cpp, in turns, in one run.
//
//   npm run bench:lm-decode [-- --rounds 5] [-- --json]
//
// PyTorch is Debian's python3-torch (or any `python3` that can `import torch`), llama.cpp what `npm run llama` installs; a peer
// that is missing is left out.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  createDecoder,
  createGenerator,
  createRandom,
  initTransformer,
  saveCheckpoint,
  saveGguf,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { openLlama } from "../packages/core/dist/models/testing/llama.js";
import { inTurns, median, milliseconds, report, startPeer } from "./harness.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    json: { type: "boolean" },
    memory: { type: "boolean" }, // only our side, and its peak memory: a process of its own is asked for this
  },
});
const [PROMPT, COUNT, BATCHES] = [32, 128, [1, 64]];
const random = createRandom("bench/lm-decode");
const words = Array.from({ length: 600 }, () =>
  Array.from({ length: 2 + random.integer(8) }, () => String.fromCharCode(97 + random.integer(26))).join(""),
);
const text = Array.from({ length: 20_000 }, () => words[random.integer(words.length)]).join(" ");
const tokenizer = trainBpe([text], { vocabularySize: 1024, specialTokens: ["<|end|>"] });
const config = transformerConfig("llama", {
  vocabularySize: tokenizer.vocabularySize,
  contextLength: PROMPT + COUNT,
  width: 128,
  layers: 4,
  heads: 4,
});
const params = initTransformer(config, random.stream("init"));
const prompts = Array.from({ length: Math.max(...BATCHES) }, () =>
  Int32Array.from({ length: PROMPT }, () => 1 + random.integer(config.vocabularySize - 1)),
);

const decoder = createDecoder({ config, params });
// No end token, so that all texts are equally long.
const generator = createGenerator({ decoder, tokenizer, endTokens: [] });
const generate = (batch) =>
  Promise.all(
    prompts.slice(0, batch).map((prompt) => generator.generate({ prompt, maxTokens: COUNT, temperature: 0 })),
  );

/** Peak of this process's memory in MB; null where the system does not tell. */
function peakMegabytes() {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;
  } catch {
    return null;
  }
}
if (options.memory) {
  await generate(Math.max(...BATCHES));
  console.log(JSON.stringify({ megabytes: peakMegabytes() }));
  process.exit();
}

const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
await saveCheckpoint(join(folder, "model.safetensors"), params);
writeFileSync(
  join(folder, "spec.json"),
  JSON.stringify({ config, count: COUNT, prompts: prompts.map((prompt) => [...prompt]) }),
);

// Memory first, each side in a process that does nothing else.
const alone = spawnSync(process.execPath, [import.meta.filename, "--memory"], { encoding: "utf8" });
const megabytes = alone.status === 0 ? JSON.parse(alone.stdout.trim().split("\n").at(-1)).megabytes : null;
const largest = { batch: Math.max(...BATCHES), threads: 1, cache: "static" };
const lonePeer = await startPeer("lm_decode.py", [folder]);
const peerMegabytes = lonePeer ? (await lonePeer.ask(largest)).megabytes : null;
lonePeer?.stop();

const peer = await startPeer("lm_decode.py", [folder]);
const torch = peer?.ready.torch;
const settings = [1, 2].flatMap((threads) =>
  ["static", "concatenated"].map((cache) => ({ name: `${threads} ${cache}`, threads, cache })),
);
const gguf = join(folder, "model.gguf");
await saveGguf(gguf, { config, params, tokenizer, endTokens: [0] });
const llama = await openLlama({ threads: 2 });
const loaded = await llama?.loadModel({ modelPath: gguf, gpuLayers: 0 });

/** Greedy decoding by llama.cpp: one context with a sequence for each text, which it steps together. */
async function llamaSide(batch, threads) {
  const context = await loaded.createContext({
    contextSize: PROMPT + COUNT,
    sequences: batch,
    batchSize: batch * PROMPT,
    threads: { ideal: threads, min: threads },
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequences = prompts.slice(0, batch).map(() => context.getSequence());
  const run = (count) =>
    Promise.all(
      sequences.map(async (sequence, i) => {
        await sequence.clearHistory();
        const ids = [];
        for await (const id of sequence.evaluate([...prompts[i]], { temperature: 0, yieldEogToken: true })) {
          ids.push(id);
          if (ids.length === count) break;
        }
        return ids;
      }),
    );
  return { run, dispose: () => context.dispose() };
}

/** Share of texts that are the same to their end. */
const sameTexts = (a, b) => a.filter((ids, i) => String(ids) === String(b[i])).length / a.length;

const figures = [];
let allAgree = true;
for (const batch of BATCHES) {
  const texts = await generate(batch);
  const ours = texts.map(({ tokens }) => tokens.map(({ id }) => id));
  const asked = (setting, count) => async () => (await peer.ask({ ...setting, batch, count })).ms;
  let [best, agrees] = [undefined, true];
  if (peer) {
    const { tokens } = await peer.ask({ ...settings[0], batch });
    agrees = JSON.stringify(tokens) === JSON.stringify(ours);
    allAgree &&= agrees;
    const tried = await inTurns(
      2,
      Object.fromEntries(settings.map((one) => [one.name, asked(one, COUNT / 8)])),
    );
    best = settings.reduce((a, b) => (Math.min(...tried[b.name]) < Math.min(...tried[a.name]) ? b : a));
  }
  const times = await inTurns(Number(options.rounds), {
    ours: () => milliseconds(() => generate(batch)),
    ...(best && { peer: asked(best) }),
  });
  const rate = (list) => (batch * COUNT * 1000) / median(list);
  figures.push({
    name: `decoding, batch ${batch}`,
    unit: "tokens/s",
    ours: rate(times.ours),
    peer: best ? rate(times.peer) : null,
    ratio: best ? median(times.peer) / median(times.ours) : null,
    target: ">= 2",
    note: best
      ? `PyTorch ${torch} eager at its best: ${best.threads} thread${best.threads > 1 ? "s" : ""}, ${best.cache} cache; the tokens are ${agrees ? "the same" : "NOT the same"}`
      : "no PyTorch here",
  });
}
for (const batch of loaded ? BATCHES : []) {
  const sides = { 1: await llamaSide(batch, 1), 2: await llamaSide(batch, 2) };
  const timed = (threads, count) => () => milliseconds(() => sides[threads].run(count));
  const tried = await inTurns(1, { 1: timed(1, COUNT / 8), 2: timed(2, COUNT / 8) });
  const best = tried[1][0] < tried[2][0] ? 1 : 2;
  let [texts, theirs] = [[], []];
  const times = await inTurns(Math.ceil(Number(options.rounds) / 3), {
    ours: () =>
      milliseconds(async () => {
        texts = await generate(batch);
      }),
    llama: () =>
      milliseconds(async () => {
        theirs = await sides[best].run(COUNT);
      }),
  });
  const same = sameTexts(
    texts.map(({ tokens }) => tokens.map(({ id }) => id)),
    theirs,
  );
  for (const side of Object.values(sides)) await side.dispose();
  const rate = (list) => (batch * COUNT * 1000) / median(list);
  figures.push({
    name: `decoding beside llama.cpp, batch ${batch}`,
    unit: "tokens/s",
    ours: rate(times.ours),
    peer: rate(times.llama),
    ratio: median(times.llama) / median(times.ours),
    target: batch === 1 ? undefined : ">= 1",
    note: `llama.cpp by node-llama-cpp on the exported float32 model, ${best} thread${best > 1 ? "s" : ""}, float32 cache; ${Math.round(100 * same)} % of the texts are the same`,
  });
}
await loaded?.dispose();
await llama?.dispose();
peer?.stop();
rmSync(folder, { recursive: true });
await generator.dispose();
await decoder.dispose();
if (megabytes !== null) {
  figures.push({
    name: `peak memory of decoding, batch ${Math.max(...BATCHES)}`,
    unit: "MB",
    ours: megabytes,
    peer: peerMegabytes,
    ratio: peerMegabytes && peerMegabytes / megabytes,
    note: "resident, each in a process of its own",
  });
}
report(figures);
if (!allAgree) process.exitCode = 1;
