import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect as connectTo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../errors.js";
import { openArtifactStore } from "../artifacts.js";
import { Lab } from "../lab.js";
import { toyExperiment } from "../testing/toy-experiment.js";
import { inProcesses } from "./executors.js";
import { connect, fits, RunQueue } from "./queue.js";
import { parseSweep } from "./spec.js";
import { type EndedRun, runSweep } from "./sweep.js";
import { throughQueue } from "./through-queue.js";

/*
 * Runs through a real Redis, with workers that are killed, a server that is restarted and a network that is cut.
 * `OUTGROW_FAULTS=long` makes it 60 runs on 3 workers with a cut of 10 seconds.
 */

const long = process.env.OUTGROW_FAULTS === "long";
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
if (!hasRedis)
  console.warn(
    "Tests of the queue are skipped: there is no redis-server (Debian: apt-get install redis-server).",
  );

const built = (name: string) => new URL(`../../../dist/lab/testing/${name}.js`, import.meta.url);
const settings = { lockDuration: 2000, poll: 200 };

let folder: string;
let redis: RedisServer;
let workers: ChildProcess[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-queue-"));
  workers = [];
});
afterEach(async () => {
  for (const worker of workers) worker.kill("SIGKILL");
  await redis?.stop();
  await rm(folder, { recursive: true, maxRetries: 10 });
}, 60_000);

/** A Redis that writes down what it is told before it answers, and can be restarted. */
class RedisServer {
  private child: ChildProcess | undefined;
  private constructor(private readonly port: number) {}

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.resume();
    return server;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  get address() {
    return { host: "127.0.0.1", port: this.port };
  }

  async resume(): Promise<void> {
    const options = [
      "--port",
      String(this.port),
      "--dir",
      folder,
      "--appendonly",
      "yes",
      "--appendfsync",
      "always",
      "--save",
      "",
    ];
    this.child = spawn("redis-server", options, { stdio: "ignore" });
    for (;;) {
      const isUp = await new Promise<boolean>((resolve) => {
        const socket = connectTo(this.port, "127.0.0.1", () => {
          socket.destroy();
          resolve(true);
        });
        socket.on("error", () => resolve(false));
      });
      if (isUp) return;
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A network between workers and server that can be cut: packets vanish, and connections do not know. */
class Network {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  url = "";

  static async to(target: { host: string; port: number }): Promise<Network> {
    const network = new Network();
    const server = createServer((near) => {
      const far = connectTo(target);
      for (const socket of [near, far]) {
        network.sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          network.sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    }).listen(0, "127.0.0.1");
    network.server = server;
    await new Promise((resolve) => server.once("listening", resolve));
    network.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return network;
  }

  async cut(milliseconds: number): Promise<void> {
    for (const socket of this.sockets) socket.pause();
    await sleep(milliseconds);
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server?.close();
  }
}

function startWorker(url: string, home: string, options: object = {}): ChildProcess {
  const args = [built("toy-worker").pathname, url, JSON.stringify({ settings, ...options })];
  const worker = spawn(process.execPath, args, {
    stdio: "inherit",
    env: { ...process.env, OUTGROW_HOME: home },
  });
  workers.push(worker);
  return worker;
}

const sweepOf = (runs: number, epochs: number, more = "") =>
  parseSweep(
    `system: toy\nconfig: { epochs: ${epochs}${more} }\nresources: { memory: 1 GiB }\ngrid: { seed: { count: ${runs} } }`,
    "toy.yaml",
    [toyExperiment],
  );

async function through(
  url: string,
  sweep: ReturnType<typeof sweepOf>,
  lab: Lab,
  onEnd = () => {},
): Promise<EndedRun[]> {
  const executor = await throughQueue(url, sweep.resources, { sweep: "test", onNotice: () => {}, settings });
  try {
    return await runSweep(sweep, executor, {
      lab,
      signal: new AbortController().signal,
      onEvent: ({ kind }) => kind === "end" && onEnd(),
    });
  } finally {
    await executor.close();
  }
}

async function locally(sweep: ReturnType<typeof sweepOf>, home: string): Promise<EndedRun[]> {
  const executor = inProcesses({
    script: built("toy-process"),
    resources: sweep.resources,
    env: { OUTGROW_HOME: home },
  });
  try {
    return await runSweep(sweep, executor, { lab: new Lab({ home }), signal: new AbortController().signal });
  } finally {
    await executor.close();
  }
}

describe.skipIf(!hasRedis)("a queue", () => {
  test(
    "loses and doubles no run when workers are killed, the server is restarted and the network is cut",
    async () => {
      redis = await RedisServer.start();
      const network = await Network.to(redis.address);
      const home = join(folder, "shared");
      const sweep = sweepOf(long ? 60 : 16, long ? 2000 : 600);
      for (let i = 0; i < (long ? 3 : 2); i++) startWorker(network.url, home);
      let over = false;
      let killed = 0;
      // However slow the machine is, some runs end between two kills.
      let endedSince = 0;
      const killing = (async () => {
        while (!over) {
          await sleep(long ? 4000 : 500);
          if (over || endedSince < 3) continue;
          endedSince = 0;
          workers.shift()?.kill("SIGKILL");
          killed++;
          startWorker(network.url, home);
        }
      })();
      const disturbing = (async () => {
        await sleep(long ? 10_000 : 1500);
        await redis.stop();
        await sleep(500);
        await redis.resume();
        await sleep(long ? 10_000 : 1500);
        await network.cut(long ? 10_000 : 3000);
      })();
      const ended = await through(redis.url, sweep, new Lab({ home }), () => endedSince++);
      over = true;
      await Promise.all([killing, disturbing]);
      network.close();
      const reference = await locally(sweep, join(folder, "local"));
      const results = (runs: EndedRun[]) =>
        runs.map(({ run, outcome }) => [run.id, outcome.status === "done" ? outcome.hash : outcome.reason]);
      expect(results(ended)).toEqual(results(reference));
      expect(new Set(ended.map(({ run }) => run.id)).size).toBe(sweep.runs.length);
      expect(killed).toBeGreaterThan(0);
    },
    long ? 900_000 : 240_000,
  );

  test("shares what was computed through a store, where homes are not shared", async () => {
    redis = await RedisServer.start();
    const store = join(folder, "store");
    startWorker(redis.url, join(folder, "far"), { store });
    const sweep = sweepOf(3, 1);
    const ended = await through(
      redis.url,
      sweep,
      new Lab({ home: join(folder, "near"), store: await openArtifactStore(store) }),
    );
    expect(ended.map(({ rows }) => rows.length)).toEqual([2, 2, 2]);
  }, 120_000);

  test("says so where results are in no place that both sides see", async () => {
    redis = await RedisServer.start();
    startWorker(redis.url, join(folder, "far"));
    const [ended] = await through(redis.url, sweepOf(1, 1), new Lab({ home: join(folder, "near") }));
    expect(ended.outcome).toMatchObject({ status: "failed", reason: expect.stringContaining("--store") });
  }, 120_000);

  test("reports a run that fails three times, and goes on with the rest", async () => {
    redis = await RedisServer.start();
    const home = join(folder, "shared");
    startWorker(redis.url, home);
    const sweep = parseSweep(
      "system: toy\nconfig: { epochs: 1 }\nresources: { memory: 1 GiB }\ngrid: { fault: [exit, throw, none] }",
      "toy.yaml",
      [toyExperiment],
    );
    const ended = await through(redis.url, sweep, new Lab({ home }));
    expect(ended.map(({ outcome }) => outcome.status)).toEqual(["failed", "failed", "done"]);
    expect(ended[0].outcome).toMatchObject({ attempts: 3, reason: expect.stringContaining("SIGKILL") });
    expect(ended[1].outcome).toMatchObject({ reason: expect.stringContaining("the toy is broken") });
  }, 120_000);

  test("gives work to workers with the memory and devices for it", async () => {
    redis = await RedisServer.start();
    const home = join(folder, "shared");
    startWorker(redis.url, home, { memoryBytes: 2 ** 30 });
    const queue = await RunQueue.open(redis.url, settings);
    while ((await queue.workers()).length === 0) await sleep(50);
    const [small] = await queue.workers();
    expect(fits(small, { memoryBytes: 2 ** 30, threads: 1, device: "cpu" })).toBe(true);
    expect(fits(small, { memoryBytes: 2 ** 31, threads: 1, device: "cpu" })).toBe(false);
    expect(fits(small, { memoryBytes: 2 ** 30, threads: 1, device: "cuda" })).toBe(false);
    const stop = new AbortController();
    const task = { system: "toy", config: { epochs: 1 } };
    const large = queue.run(
      "large",
      task,
      { memoryBytes: 2 ** 31, threads: 1, device: "cpu" },
      { signal: stop.signal },
    );
    const little = await queue.run("little", task, { memoryBytes: 2 ** 30, threads: 1, device: "cpu" }, {});
    expect(little.status).toBe("done");
    startWorker(redis.url, home, { memoryBytes: 4 * 2 ** 30 });
    expect((await large).status).toBe("done");
    // Both workers have one thread: a run that needs two waits for one that has them.
    const two = { memoryBytes: 2 ** 30, threads: 2, device: "cpu" } as const;
    let isOver = false;
    const wide = queue.run("wide", task, two, {}).finally(() => {
      isOver = true;
    });
    await sleep(1500);
    expect(isOver).toBe(false);
    startWorker(redis.url, home, { threads: 2 });
    expect((await wide).status).toBe("done");
    await queue.close();
  }, 120_000);
});

test("a queue that does not answer is an error that says what to look at", async () => {
  const port = await freePort();
  await expect(connect(`redis://127.0.0.1:${port}`)).rejects.toThrow(UserError);
}, 20_000);

test.each(["http://127.0.0.1:6379", "localhost:6379", ""])(
  "%j is not the address of a queue",
  async (url) => {
    await expect(connect(url)).rejects.toThrow(/is not the address of a queue/);
  },
);
