// The whole of track A of `w2sg`, from an empty home: here against PyTorch, in turns, in one run.
//
//   npm run bench:w2s [-- --worlds 5 --tasks 5 --rounds 1] [-- --json]
//
// Ours is the study as `outgrow start --full` runs it: worlds and tasks on a thread for each core, with all that the lab keeps.
// PyTorch (w2s.py) solves the same tasks of the same worlds with examples, weights and orders of its own, so that the results
// agree within their intervals and not to the bit. It has the faster of several threads in one process and of several
// processes of one thread. Without PyTorch only our side is timed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { w2sg } from "@outgrow/systems";
import {
  confidenceDefaults,
  createRandom,
  hierarchicalBootstrap,
  Lab,
  latentFeatures,
  meanInterval,
  pairedDifference,
} from "outgrow";
import { inTurns, median, report, startPeer } from "./harness.mjs";

const { values } = parseArgs({
  options: {
    worlds: { type: "string", default: "2" },
    tasks: { type: "string", default: "2" },
    rounds: { type: "string", default: "2" },
    json: { type: "boolean" },
  },
});
const [worlds, tasks, rounds] = [values.worlds, values.tasks, values.rounds].map(Number);
const cores = availableParallelism();
const config = w2sg.studySchema.parse({ worlds, tasks });
const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
const silent = { begin: () => ({ update() {}, done() {} }), log() {}, finish() {} };

/** Seconds and records of the study from an empty home. */
let homes = 0;
async function ours(parallel) {
  const lab = new Lab({ home: join(folder, `home-${homes++}`) });
  const started = performance.now();
  const records = await w2sg.runStudy(config, { progress: silent, lab, parallel });
  await lab.close();
  return { seconds: (performance.now() - started) / 1000, records };
}

/** What defines the worlds and tasks, for the peer. */
function writeWorlds() {
  let parts;
  for (let index = 0; index < worlds; index++) {
    const random = createRandom(config.seed).stream("world", index);
    const world = latentFeatures.generate(config.world, random.stream("world"));
    const directions = Array.from(
      { length: tasks },
      (_, task) => world.task(random.stream("task", task).stream("direction")).direction,
    );
    const { latentSize, hiddenSize, inputSize, auxiliarySize } = config.world;
    const all = [
      ["A", [latentSize, hiddenSize], world.rendering.A],
      ["Bm", [hiddenSize, hiddenSize], world.rendering.Bm],
      ["Cm", [hiddenSize, inputSize], world.rendering.Cm],
      ["directions", [latentSize, auxiliarySize], world.auxiliary.directions],
      ["biases", [auxiliarySize], world.auxiliary.biases],
      ["tasks", [tasks, latentSize], Float32Array.from(directions.flatMap((one) => [...one]))],
    ];
    writeFileSync(
      join(folder, `world${index}.f32`),
      Float32Array.from(all.flatMap(([, , data]) => [...data])),
    );
    parts = all.map(([name, shape]) => [name, shape]);
  }
  const { supervisionSize: supervision, transferSize: transfer, testSize: test } = config;
  const recipeOf = ({ epochs, batchSize, learningRate }) => ({ epochs, batchSize, learningRate });
  const spec = {
    parts,
    sizes: { supervision, transfer, test },
    pretraining: w2sg.pretraining,
    recipes: Object.fromEntries(
      Object.entries(w2sg.recipes).map(([mode, recipe]) => [mode, recipeOf(recipe)]),
    ),
    confidence: {
      confidence: confidenceDefaults.paper,
      "confidence-official": confidenceDefaults["official-code"],
      "confidence-ramp": confidenceDefaults.ramp,
    },
    world: config.world,
    ladder: config.ladder,
    methods: config.methods,
    modes: config.modes,
  };
  writeFileSync(join(folder, "spec.json"), JSON.stringify(spec));
}
writeWorlds();

/** PyTorch's ways to use the cores. BLAS counts its threads when it is loaded, so that each count has a process of its own. */
const ways = [];
for (const threads of cores === 1 ? [1] : [1, cores]) {
  const env = { OMP_NUM_THREADS: `${threads}`, OPENBLAS_NUM_THREADS: `${threads}` };
  const peer = await startPeer("w2s.py", [folder], { env });
  if (!peer) break;
  const processes = cores / threads;
  const { ms } = await peer.ask({ pilot: true });
  ways.push({ peer, processes, threads, ms });
}
/** Processes take their steps at the same time. */
const best = [...ways].sort((one, other) => one.ms / one.processes - other.ms / other.processes)[0];

let [here, there] = [[], []];
const times = await inTurns(rounds, {
  async ours() {
    const { seconds, records } = await ours(cores);
    here = records;
    return seconds;
  },
  async peer() {
    if (!best) return null;
    const { seconds, records } = await best.peer.ask({ worlds, tasks, processes: best.processes });
    there = records;
    return seconds;
  },
});
for (const { peer } of ways) peer.stop();
rmSync(folder, { recursive: true });

/** The values of a case by world and task. A gap of less than 0.02 cannot be told from none on 4,000 tests. */
const measures = {
  "weak accuracy": ({ weakAccuracy }) => weakAccuracy,
  "student accuracy": ({ studentAccuracy }) => studentAccuracy,
  "ceiling accuracy": ({ ceilingAccuracy }) => ceilingAccuracy,
  PGR: ({ weakAccuracy: weak, studentAccuracy: student, ceilingAccuracy: ceiling }) =>
    ceiling - weak < 0.02 ? null : (student - weak) / (ceiling - weak),
};
const caseOf = ({ mode, weak, method }) => `${mode}, ${weak}, ${method}`;
const groupsOf = (records, name, measure) =>
  Array.from({ length: worlds }, (_, world) =>
    records.filter((record) => caseOf(record) === name && record.world === world).map(measure),
  );
const shown = ({ mean, low, high }) =>
  mean === null ? "none" : `${mean.toFixed(3)} [${low?.toFixed(3)}, ${high?.toFixed(3)}]`;

/** Each mean here and there with its 95 % interval, and whether 0 lies in the interval of the paired difference. */
function comparison() {
  const names = [...new Set(here.map(caseOf))];
  const all = names.flatMap((name) =>
    Object.entries(measures).map(([what, measure]) => ({ name, what, measure })),
  );
  const level = 1 - 0.05 / all.length;
  return all.map(({ name, what, measure }) => {
    const [a, b] = [here, there].map((records) => groupsOf(records, name, measure));
    const difference = pairedDifference(a, b);
    const holds = ({ low, high }) => low === null || (low <= 1e-9 && high >= -1e-9);
    return {
      name,
      what,
      ours: meanInterval(a),
      theirs: meanInterval(b),
      difference: meanInterval(difference),
      agrees: holds(meanInterval(difference)),
      // Of hundreds of intervals of 95 % some miss: that one does is judged at the level of all together.
      agreesAmongAll: holds(
        hierarchicalBootstrap(difference, { random: createRandom("bench/w2s"), interval: "t", level }),
      ),
    };
  });
}

const mine = median(times.ours);
const peerSeconds = best ? median(times.peer) : null;
const figures = [];
let apart = [];
if (best) {
  const compared = comparison();
  apart = compared.filter(({ agreesAmongAll }) => !agreesAmongAll);
  for (const { name, what, ours, theirs, agrees } of compared) {
    if (what === "student accuracy" || what === "PGR")
      console.error(
        `${name}: ${what} ${shown(ours)} here, ${shown(theirs)} in PyTorch${agrees ? "" : "  (apart)"}`,
      );
  }
  const accuracies = compared.filter(({ what, difference }) => what !== "PGR" && difference.mean !== null);
  figures.push({
    name: "means of both sides whose difference has 0 in its 95 % interval",
    unit: "%",
    ours: (100 * compared.filter(({ agrees }) => agrees).length) / compared.length,
    target: ">= 90",
    note:
      `${compared.length} means of accuracy and PGR over worlds and tasks, paired; accuracies at most ` +
      `${Math.max(...accuracies.map(({ difference }) => Math.abs(difference.mean))).toFixed(3)} apart; ` +
      `${apart.length} apart at the level of all together`,
  });
}
const waysNote = ways.map(({ threads, ms }) => `${ms.toFixed(2)} ms with ${threads} thread(s)`);
report([
  {
    name: `track A of w2sg, ${worlds} worlds of ${tasks} tasks, all losses`,
    unit: "s",
    ours: mine,
    peer: peerSeconds,
    ratio: peerSeconds && peerSeconds / mine,
    target: ">= 2",
    note: best
      ? `${cores} threads, empty home; PyTorch ${best.peer.ready.torch} eager, ${best.processes} process(es) of ` +
        `${best.threads} thread(s), its best (a step of the largest student: ${waysNote.join(", ")}); ` +
        "probes of one size are trained as one batch there"
      : "no PyTorch here",
  },
  ...figures,
]);
if (apart.length > 0) {
  console.error(
    `The results of the two sides disagree: ${apart.map(({ name, what }) => `${what} of ${name}`).join("; ")}`,
  );
  process.exitCode = 1;
}
