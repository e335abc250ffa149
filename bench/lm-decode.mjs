// Greedy decoding by a Llama of about a million parameters, one text at a time and 64 side by side: here against PyTorch
// eager with a cache of keys and values, in turns, in one run.
//
//   npm run bench:lm       or      node bench/lm-decode.mjs [--rounds 5] [--json]
//
// PyTorch is Debian's python3-torch (or any `python3` that can `import torch`); without it only our side is timed.
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
  trainBpe,
  transformerConfig,
} from "outgrow";
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
const figures = [];
let agrees = true;
for (const batch of BATCHES) {
  const texts = await generate(batch);
  const ours = texts.map(({ tokens }) => tokens.map(({ id }) => id));
  const asked = (setting) => async () => (await peer.ask({ ...setting, batch })).ms;
  let best;
  if (peer) {
    const { tokens } = await peer.ask({ ...settings[0], batch });
    agrees &&= JSON.stringify(tokens) === JSON.stringify(ours);
    const tried = await inTurns(2, Object.fromEntries(settings.map((one) => [one.name, asked(one)])));
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
if (!agrees) process.exitCode = 1;
