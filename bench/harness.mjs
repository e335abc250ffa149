/*
 * What the benches share: a peer process that is asked in turns with our own side, medians, and one form for figures.
 * A bench is a file `NAME.mjs` that ends in `await report(figures)`; `npm run bench` runs them all into RESULTS.md.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/**
 * One measured figure.
 *
 * @typedef {object} Figure
 * @property {string} name what was measured
 * @property {string} unit e.g. "ms/step"
 * @property {number} ours
 * @property {number | null} [peer] the same of the peer at its best setting; null where there was none
 * @property {number | null} [ratio] how many times better ours is than the peer
 * @property {string} [target] e.g. ">= 2" (of the ratio where there is one, else of `ours`)
 * @property {string} [note] what a reader must know, e.g. who the peer is
 */

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Times of each side in turns, A B A B ..., so that a change in the machine's speed meets them all alike. */
export async function inTurns(rounds, sides) {
  const times = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, side] of Object.entries(sides)) times[name].push(await side());
  }
  return times;
}

/** Milliseconds that `body` takes. */
export async function milliseconds(body) {
  const started = performance.now();
  await body();
  return performance.now() - started;
}

/**
 * Starts `python3 SCRIPT ...args`, which prints one line of JSON when it is ready, and one for each line of JSON that
 * it is asked. Debian's PyTorch belongs to /usr/bin/python3, so that this comes first on the path. `packages` says how to get
 * what the script imports.
 *
 * @returns null, with a message, where the peer cannot be started
 */
export async function startPeer(
  script,
  args = [],
  { env = {}, python = "python3", packages = "Debian: apt-get install python3-torch" } = {},
) {
  const child = spawn(python, [join(import.meta.dirname, script), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, PATH: `/usr/bin:${process.env.PATH}`, ...env },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let trouble = "";
  child.on("error", (error) => {
    trouble += error.message;
  });
  child.stderr.on("data", (chunk) => {
    trouble += chunk;
  });
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(trouble.trim().split("\n").at(-1) || "python3 ended");
    return JSON.parse(value);
  };
  try {
    const ready = await next();
    return {
      ready,
      async ask(request) {
        child.stdin.write(`${JSON.stringify(request)}\n`);
        return next();
      },
      stop: () => child.stdin.end(),
    };
  } catch (error) {
    console.error(`The peer ${script} is skipped: ${error.message} (${packages})`);
    return null;
  }
}

/** The machine in words: processor with its widest vectors, cores, memory, and versions. */
export function machine() {
  const wide = ["avx512f", "avx2"].find((flag) => cpuFlags().includes(flag));
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const processor = `${cpus()[0]?.model.trim() ?? "unknown processor"}${wide ? ` (${wide})` : ""}`;
  return `${processor}, ${availableParallelism()} cores, ${memory}, Node ${process.version}`;
}

function cpuFlags() {
  try {
    return /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1].split(" ") ?? [];
  } catch {
    return [];
  }
}

const number = (value) => (value === null || value === undefined ? "" : String(Number(value.toPrecision(3))));

/** The figures as rows of a Markdown table. */
export function tableOf(figures) {
  const header = ["figure", "unit", "ours", "peer", "ratio", "target", "note"];
  const rows = figures.map((figure) => [
    figure.name,
    figure.unit,
    number(figure.ours),
    number(figure.peer),
    number(figure.ratio),
    figure.target ?? "",
    figure.note ?? "",
  ]);
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/**
 * Prints figures: a Markdown table, or with `--json` one JSON object a line.
 *
 * @param {Figure[]} figures
 */
export function report(figures) {
  if (process.argv.includes("--json")) {
    for (const figure of figures) console.log(JSON.stringify({ ...figure, machine: machine() }));
  } else {
    console.log(`${machine()}\n\n${tableOf(figures)}`);
  }
}
