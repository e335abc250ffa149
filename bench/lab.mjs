/*
 * What the lab costs: for a stage that is kept, for one that is computed, and for a long list of runs.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { defineStage, environment, fromValue, given, Lab, processIdentity, seal } from "outgrow";
import { z } from "zod";
import { median, milliseconds, report } from "./harness.mjs";

const { values } = parseArgs({
  options: {
    stages: { type: "string", default: "10000" },
    runs: { type: "string", default: "5000" },
    json: { type: "boolean" },
  },
});
const stages = Number(values.stages);
const runs = Number(values.runs);

/** As little as a stage can do: a JSON file with its configuration. */
const least = defineStage({
  name: "bench/least",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    seed: z.int(),
    width: z.int().default(64),
    methods: z.array(z.string()).default(["naive"]),
  }),
  inputs: { rows: fromValue() },
  run: ({ config, folder }) => writeFile(join(folder, "out.json"), JSON.stringify(config)),
});

const home = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
try {
  const lab = new Lab({ home });
  const rows = given("rows");
  const through = async (work) => {
    const times = [];
    for (let seed = 0; seed < stages; seed++) times.push(await milliseconds(() => work(seed)));
    return times;
  };
  const runOne = (seed) => lab.run(least, { seed }, { rows });
  const executed = await through(runOne);
  const cached = await through(runOne);
  const read = await through(async (seed) => (await runOne(seed)).json("out.json"));

  placeRuns(join(home, "runs"));
  const main = join(import.meta.dirname, "../packages/cli/dist/main.js");
  const env = { ...process.env, OUTGROW_HOME: home };
  const listings = [];
  for (let round = 0; round < 3; round++) {
    listings.push(
      await milliseconds(() => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [main, "runs"], {
          env,
          encoding: "utf8",
          maxBuffer: 2 ** 28,
        });
        if (status !== 0 || stdout.split("\n").length < runs)
          throw new Error(`outgrow runs failed: ${stderr}`);
      }),
    );
  }
  const mean = (times) => times.reduce((sum, time) => sum + time, 0) / times.length;
  const spread = (times) =>
    `of ${times.length}; median ${median(times).toFixed(2)}, slowest ${Math.max(...times).toFixed(1)} ms`;
  await report([
    { name: "cached stage", unit: "ms", ours: mean(cached), target: "< 2", note: spread(cached) },
    {
      name: "cached stage whose output is read",
      unit: "ms",
      ours: mean(read),
      target: "< 2",
      note: spread(read),
    },
    { name: "executed stage", unit: "ms", ours: mean(executed), target: "< 20", note: spread(executed) },
    {
      name: `outgrow runs, ${runs} runs`,
      unit: "ms",
      ours: median(listings),
      target: "< 1000",
      note: "the whole command",
    },
  ]);
} finally {
  rmSync(home, { recursive: true });
}

/** Records as `outgrow start` leaves them. */
function placeRuns(folder) {
  const found = environment();
  for (let i = 0; i < runs; i++) {
    const started = new Date(Date.UTC(2026, 0, 1) + i * 60_000).toISOString();
    const id = `w2sg-${started.slice(0, -1).replaceAll(/[:.]/g, "-")}`;
    const record = {
      version: 1,
      id,
      kind: "w2sg",
      status: "done",
      folder: join(folder, "../results", id),
      command: ["start", "--seed", String(i)],
      cwd: folder,
      started,
      ended: started,
      seconds: i,
      configuration: {
        seed: i,
        worlds: 4,
        tasks: 2,
        ladder: [8, 20, 64, 256].map((width) => ({ width, samples: 1000 * width, epochs: 4 })),
        methods: ["naive", "confidence", "product"],
        world: { latentSize: 10, hiddenSize: 64, inputSize: 40, sineFrequency: 0.5, inputNoise: 0.05 },
      },
      inputs: {},
      environment: found,
      owner: processIdentity,
      results: Object.fromEntries(
        Array.from({ length: 14 }, (_, j) => [`accuracy of method ${j}`, 0.5 + j / 100]),
      ),
      files: Object.fromEntries(
        Array.from({ length: 16 }, (_, j) => [`figures/figure-${j}.svg`, "0".repeat(64)]),
      ),
      logs: { "stages.jsonl": "0".repeat(64) },
    };
    mkdirSync(join(folder, id), { recursive: true });
    writeFileSync(join(folder, id, "run.json"), seal(record));
  }
}
