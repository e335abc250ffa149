/*
 * The server of language models under 32 clients: tokens a second against one request at a time, latencies, how soon it
 * answers something else meanwhile (against a server whose model computes in its own thread), and its memory.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import {
  createGenerator,
  createRandom,
  initTransformer,
  loadLanguageModel,
  namedTensors,
  saveLanguageModel,
  servedModel,
  serveModels,
  threadedModel,
  trainBpe,
  transformerConfig,
} from "outgrow";
import { median, report } from "./harness.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "32" },
    requests: { type: "string", default: "4" },
    tokens: { type: "string", default: "64" },
    serve: { type: "string" },
    thread: { type: "string" },
    json: { type: "boolean" },
  },
});
const [clients, requestsEach, tokens] = [values.clients, values.requests, values.tokens].map(Number);
const promptTokens = 32;

/** What the child process does: serves until its stdin ends. */
async function serve(folder, thread) {
  const model =
    thread === "own"
      ? await threadedModel({ name: "bench", folder, rows: clients })
      : await inThisThread(await loadLanguageModel(folder));
  const server = await serveModels({ models: [model], limits: { waiting: 4 * clients } });
  console.log(JSON.stringify({ url: server.url }));
  process.stdin.resume().on("end", () => server.close({ graceSeconds: 0 }));
}

const inThisThread = (model) =>
  servedModel(model, createGenerator(model, { capacity: clients }), { name: "bench", rows: clients });

function makeModel(folder) {
  const random = createRandom(1);
  const words = random.permutation(4000).map((n) => n + 1000);
  const tokenizer = trainBpe([Array.from(words, String).join(" ")], {
    vocabularySize: 1024,
    specialTokens: ["<|endoftext|>"],
  });
  const config = transformerConfig("llama", {
    vocabularySize: tokenizer.vocabularySize,
    contextLength: 512,
    width: 128,
    layers: 5,
    heads: 4,
  });
  // Without an end token all answers are equally long.
  return saveLanguageModel(folder, {
    config,
    params: initTransformer(config, random),
    tokenizer,
    endTokens: [],
  });
}

async function start(folder, thread) {
  const child = spawn(process.execPath, [import.meta.filename, "--serve", folder, "--thread", thread], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value, done } = await lines.next();
  if (done) throw new Error("the server ended");
  const { url } = JSON.parse(value);
  return { url, pid: child.pid, stop: () => child.stdin.end() };
}

/** One streamed answer: milliseconds to its first text and to its end. */
async function ask(url, seed) {
  const begun = performance.now();
  const prompt = Array.from({ length: promptTokens }, (_, i) => 10 + ((seed * 31 + i * 7) % 200));
  const body = {
    model: "bench",
    prompt,
    max_tokens: tokens,
    seed,
    stream: true,
    stream_options: { include_usage: true },
  };
  const response = await fetch(`${url}/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  const decoder = new TextDecoder();
  let first;
  let text = "";
  for await (const chunk of response.body) {
    first ??= performance.now() - begun;
    text = (text + decoder.decode(chunk, { stream: true })).slice(-2000);
  }
  const counted = Number(/"completion_tokens":(\d+)/.exec(text)?.[1]);
  if (counted !== tokens || !text.endsWith("data: [DONE]\n\n")) throw new Error(`half an answer: ${text}`);
  return { first, whole: performance.now() - begun };
}

/** All requests of so many clients, each of which asks again as soon as it was answered. */
async function load(url, concurrency, requests) {
  const times = [];
  let next = 0;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < requests) times.push(await ask(url, next++));
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  return { times, tokensPerSecond: (requests * tokens) / seconds };
}

/** Milliseconds of `/health`, again and again until `work` is done. */
async function healthDuring(url, work) {
  const times = [];
  let done = false;
  const working = work().finally(() => {
    done = true;
  });
  while (!done) {
    const begun = performance.now();
    await (await fetch(new URL("/health", url))).text();
    times.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { times, result: await working };
}

const quantile = (list, share) =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(share * list.length))];
const memory = (pid, field) =>
  Number(new RegExp(`^${field}:\\s*(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

async function bench() {
  const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
  try {
    const path = join(folder, "model");
    await makeModel(path);
    const model = await loadLanguageModel(path);
    const size = [...namedTensors(model.params).values()].reduce((sum, { data }) => sum + data.length, 0);
    const [own, same] = [await start(path, "own"), await start(path, "same")];
    const requests = clients * requestsEach;
    // Programs are made at the first use.
    for (const { url } of [own, same]) await load(url, clients, clients);
    const alone = [];
    const together = [];
    const besideOwn = [];
    const besideSame = [];
    for (let round = 0; round < 3; round++) {
      alone.push((await load(own.url, 1, Math.ceil(requests / 16))).tokensPerSecond);
      together.push(await load(own.url, clients, requests));
      besideOwn.push(...(await healthDuring(own.url, () => load(own.url, clients, requests))).times);
      besideSame.push(...(await healthDuring(same.url, () => load(same.url, clients, requests))).times);
    }
    const times = together.flatMap((one) => one.times);
    const ours = median(together.map(({ tokensPerSecond }) => tokensPerSecond));
    const peer = median(alone);
    const name = `${clients} clients`;
    const of = (field, share) =>
      quantile(
        times.map((one) => one[field]),
        share,
      );
    const healthOwn = quantile(besideOwn, 0.99);
    const healthSame = quantile(besideSame, 0.99);
    const figures = [
      {
        name: `${name}, all together`,
        unit: "tokens/s",
        ours,
        peer,
        ratio: ours / peer,
        note: `${(size / 1e6).toFixed(2)} million parameters, ${promptTokens} tokens in, ${tokens} out, streamed; the peer is one request at a time`,
      },
      { name: `${name}, first token, p50`, unit: "ms", ours: of("first", 0.5) },
      { name: `${name}, first token, p99`, unit: "ms", ours: of("first", 0.99) },
      { name: `${name}, whole answer, p50`, unit: "ms", ours: of("whole", 0.5) },
      { name: `${name}, whole answer, p99`, unit: "ms", ours: of("whole", 0.99) },
      {
        name: `/health beside ${name}, p99`,
        unit: "ms",
        ours: healthOwn,
        peer: healthSame,
        ratio: healthSame / healthOwn,
        note: "the peer's model computes in the server's own thread",
      },
    ];
    if (process.platform === "linux") {
      figures.push({
        name: "memory of the server, at the peak",
        unit: "MiB",
        ours: memory(own.pid, "VmHWM"),
      });
    }
    report(figures);
    own.stop();
    same.stop();
  } finally {
    rmSync(folder, { recursive: true, maxRetries: 5 });
  }
}

await (values.serve ? serve(values.serve, values.thread) : bench());
