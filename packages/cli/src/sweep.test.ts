import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The command as it is run: compiled.
const main = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const sweepFile = `system: w2sg
config:
  worlds: 1
  tasks: 1
  supervisionSize: 300
  transferSize: 300
  testSize: 300
  modes: [linear-probe]
  methods: [naive]
  analyses: false
  parts: [classification]
  ladder: [{ width: 4, samples: 300, epochs: 1 }, { width: 8, samples: 300, epochs: 1 }]
grid: { seed: [0, 1] }
resources: { memory: 1 GiB }
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "outgrow-sweep-cli-"));
  writeFileSync(join(folder, "seeds.yaml"), sweepFile);
});
afterAll(() => rmSync(folder, { recursive: true }));

const outgrow = (...args: string[]) =>
  spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, OUTGROW_HOME: join(folder, "home") },
  });

describe("outgrow sweep", () => {
  test("says without running anything what would run", () => {
    const { status, stdout } = outgrow("sweep", "seeds.yaml", "--dry-run");
    expect(status).toBe(0);
    expect(stdout).toMatch(/w2sg {2}seed 0\n.*w2sg {2}seed 1/);
    expect(stdout).toMatch(/w2sg\/pretrain +4 +0/);
    expect(stdout).toContain("not known");
  });

  test("runs all, and leaves tables, a report and the file", () => {
    const { status, stdout, stderr } = outgrow("sweep", "seeds.yaml", "--out", "out");
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("2 of 2 runs were done");
    expect(readFileSync(join(folder, "out/runs.csv"), "utf8").trim().split("\n")).toHaveLength(3);
    const [header, ...rows] = readFileSync(join(folder, "out/results.csv"), "utf8").trim().split("\r\n");
    expect(header).toMatch(/^run,status,seed,/);
    expect(rows.length).toBeGreaterThanOrEqual(6);
    expect(readFileSync(join(folder, "out/report.html"), "utf8")).toContain("Sweep seeds");
    expect(readFileSync(join(folder, "out/sweep.yaml"), "utf8")).toBe(sweepFile);
  });

  test("finds everything there afterwards, and knows the time", () => {
    const { stdout } = outgrow("sweep", "seeds.yaml", "--dry-run");
    expect(stdout).toMatch(/w2sg\/pretrain +0 +4/);
    expect(stdout).toContain("About 0 s");
  });

  test("is repeated with the same bits by outgrow rerun", () => {
    const { runs } = JSON.parse(outgrow("runs", "--json").stdout);
    const { status, stdout } = outgrow("rerun", runs[0].id, "--out", "again");
    expect(stdout).toContain(`The same bits as ${runs[0].id}`);
    expect(status).toBe(0);
  }, 120_000);

  test.each([
    ["a file that is not there", ["missing.yaml"], /missing\.yaml: the sweep file cannot be read/],
    [
      "an unknown field",
      ["typo.yaml"],
      /typo\.yaml: system w2sg: unknown field "taks", did you mean "tasks"/,
    ],
    [
      "a queue of another kind",
      ["seeds.yaml", "--queue", "amqp://x"],
      /"amqp:\/\/x" is not the address of a queue/,
    ],
    [
      "a store of another kind",
      ["seeds.yaml", "--workers", "0", "--store", "ftp://x"],
      /not the place of an artifact store/,
    ],
  ])("refuses %s", (_, args, message) => {
    writeFileSync(join(folder, "typo.yaml"), "system: w2sg\ngrid: { taks: [1] }");
    const { status, stderr } = outgrow("sweep", ...args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });
});

test("outgrow worker refuses a size of memory that is none", () => {
  const { status, stderr } = outgrow("worker", "--queue", "redis://127.0.0.1:1", "--memory", "much");
  expect(stderr).toContain('"much" is not a size of memory');
  expect(status).toBe(2);
});

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
if (!hasRedis)
  console.warn(
    "A test of the queue is skipped: there is no redis-server (Debian: apt-get install redis-server).",
  );

test.skipIf(!hasRedis)(
  "a sweep through a queue and a store has the table of one that was run here",
  async () => {
    const port = await freePort();
    const redis = spawn("redis-server", ["--port", String(port), "--dir", folder, "--save", ""], {
      stdio: "ignore",
    });
    const shared = ["--queue", `redis://127.0.0.1:${port}`, "--store", join(folder, "store")];
    const env = { ...process.env, OUTGROW_HOME: join(folder, "far") };
    const worker = spawn(process.execPath, [main, "worker", ...shared], { env, stdio: "ignore" });
    try {
      const { status, stderr } = spawnSync(
        process.execPath,
        [main, "sweep", "seeds.yaml", ...shared, "--out", "far-out"],
        {
          cwd: folder,
          encoding: "utf8",
          env: { ...process.env, OUTGROW_HOME: join(folder, "near") },
        },
      );
      expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
      outgrow("sweep", "seeds.yaml", "--out", "near-out");
      const table = (out: string) => readFileSync(join(folder, out, "results.csv"), "utf8");
      expect(table("far-out")).toBe(table("near-out"));
    } finally {
      const ended = new Promise((resolve) => worker.once("exit", resolve));
      worker.kill("SIGKILL");
      redis.kill("SIGKILL");
      await ended;
    }
  },
  120_000,
);

test("outgrow worker refuses a device that is not there", () => {
  const { status, stderr } = outgrow("worker", "--queue", "redis://127.0.0.1:1", "--devices", "tpu");
  expect(stderr).toContain('there is no device "tpu" here');
  expect(status).toBe(2);
});

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
