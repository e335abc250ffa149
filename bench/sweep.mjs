/*
 * What sweeps gain and cost: two processes against one for runs of one thread each, and the queue for each job.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { experiments } from "@outgrow/systems";
import { inProcesses, Lab, parseSweep, runSweep } from "outgrow";
import { runWorker, throughQueue } from "outgrow/queue";
import { inTurns, median, report } from "./harness.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    jobs: { type: "string", default: "300" },
    json: { type: "boolean" },
  },
});
const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
const script = new URL("../packages/cli/dist/run-process.js", import.meta.url);
const never = new AbortController().signal;

/** Runs of a few seconds on one thread. */
const small = parseSweep(
  `system: w2sg
config:
  worlds: 1
  tasks: 1
  modes: [linear-probe]
  methods: [naive, confidence, confidence-official, confidence-ramp, product]
  analyses: false
  parts: [classification]
  supervisionSize: 2000
  transferSize: 2000
  ladder:
    - { width: 8, samples: 3000, epochs: 8 }
    - { width: 20, samples: 10000, epochs: 8 }
    - { width: 64, samples: 20000, epochs: 6 }
grid: { seed: { count: 16 } }
resources: { memory: 1 GiB }`,
  "bench.yaml",
  experiments,
);

let homes = 0;
async function sweepSeconds(workers) {
  const home = join(folder, `home-${homes++}`);
  const lab = new Lab({ home });
  const executor = inProcesses({ script, resources: small.resources, workers, env: { OUTGROW_HOME: home } });
  const begun = performance.now();
  const ended = await runSweep(small, executor, { lab, signal: never });
  const seconds = (performance.now() - begun) / 1000;
  await executor.close();
  await lab.close();
  const failed = ended.find(({ outcome }) => outcome.status !== "done");
  if (failed) throw new Error(failed.outcome.reason);
  return seconds;
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Milliseconds for each of many jobs that do nothing, from the sweep to a worker in a process of its own and back. */
async function queueOverhead(jobs) {
  const port = await freePort();
  const options = ["--port", String(port), "--dir", folder, "--appendonly", "yes", "--save", ""];
  const redis = spawn("redis-server", options, { stdio: "ignore" });
  const stop = new AbortController();
  try {
    for (;;) {
      const isUp = await new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1", () => resolve(true));
        socket.on("error", () => resolve(false));
      });
      if (isUp) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const url = `redis://127.0.0.1:${port}`;
    const empty = new URL("./empty-process.mjs", import.meta.url);
    const resources = { memoryBytes: 2 ** 30, threads: 1, device: "cpu" };
    const working = runWorker(url, {
      script: empty,
      memoryBytes: 2 ** 30,
      threads: 1,
      devices: ["cpu"],
      signal: stop.signal,
    });
    const executor = await throughQueue(url, resources, { sweep: "bench", onNotice: () => {} });
    const all = async (prefix, count) => {
      const runs = Array.from({ length: count }, (_, i) => ({
        id: `${prefix}-${i}`,
        system: "none",
        config: {},
      }));
      const options = { signal: never, onStart: () => {}, onProgress: () => {} };
      await Promise.all(runs.map((run) => executor.execute(run, options)));
    };
    await all("first", 1); // starts the process
    const begun = performance.now();
    await all("job", jobs);
    const each = (performance.now() - begun) / jobs;
    await executor.close();
    stop.abort(new Error("done"));
    await working;
    return each;
  } finally {
    stop.abort(new Error("done"));
    redis.kill("SIGKILL");
  }
}

try {
  const times = await inTurns(Number(values.rounds), {
    one: () => sweepSeconds(1),
    two: () => sweepSeconds(2),
  });
  const [one, two] = [median(times.one), median(times.two)];
  const figures = [
    {
      name: `sweep of ${small.runs.length} runs on 2 workers against 1`,
      unit: "s",
      ours: two,
      peer: one,
      ratio: one / two,
      target: ">= 1.8",
      note: "the peer is the same sweep on 1 worker; runs of one thread; with the start of the processes",
    },
  ];
  if (spawnSync("redis-server", ["--version"]).status === 0) {
    const jobs = Number(values.jobs);
    const ours = await queueOverhead(jobs);
    figures.push({
      name: "queue, for each job",
      unit: "ms",
      ours,
      target: "< 50",
      note: `${jobs} jobs that do nothing`,
    });
  } else {
    console.error("The queue is skipped: there is no redis-server (Debian: apt-get install redis-server).");
  }
  report(figures);
} finally {
  rmSync(folder, { recursive: true, maxRetries: 5 });
}
