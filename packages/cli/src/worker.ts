import { availableParallelism, totalmem } from "node:os";
import { type Device, devices } from "@outgrow/engine";
import { gib, UserError } from "outgrow";
import { runWorker } from "outgrow/queue";

export interface WorkerCommandOptions {
  queue: string;
  store?: string;
  memory?: string;
  threads?: number;
  devices?: string[];
}

/** `outgrow worker --queue URL`: one more machine for sweeps, until it is stopped. */
export async function worker(options: WorkerCommandOptions, signal: AbortSignal): Promise<void> {
  const { queue, store, threads = availableParallelism() } = options;
  const memoryBytes = options.memory === undefined ? Math.floor(0.8 * totalmem()) : bytesOf(options.memory);
  const present = options.devices === undefined ? (["cpu"] as const) : await checked(options.devices);
  console.error(
    `Takes runs from ${new URL(queue).host} with ${gib(memoryBytes)}, ${threads} threads, ${present.join(", ")}. Ctrl-C stops: what runs goes back to the queue.`,
  );
  await runWorker(queue, {
    script: new URL("./run-process.js", import.meta.url),
    memoryBytes,
    threads,
    devices: present,
    store,
    signal,
    onEvent: ({ kind, id, detail }) =>
      console.error(
        `${new Date().toISOString()}  ${kind.padEnd(6)} ${id}${detail ? `  ${detail.split("\n")[0]}` : ""}`,
      ),
  });
}

/** The devices that were named, each tried out. */
async function checked(named: readonly string[]): Promise<Device[]> {
  const present = await devices();
  const missing = named.find((name) => !present.some((device) => device === name));
  if (missing === undefined) return present.filter((device) => named.includes(device));
  throw new UserError(`there is no device "${missing}" here`, { hint: `There are: ${present.join(", ")}.` });
}

function bytesOf(text: string): number {
  const found = /^(\d+(?:\.\d+)?) ?(MiB|GiB)$/.exec(text);
  if (found) return Math.round(Number(found[1]) * (found[2] === "GiB" ? 2 ** 30 : 2 ** 20));
  throw new UserError(`"${text}" is not a size of memory`, {
    hint: 'Expected for example "8 GiB" or 512MiB.',
  });
}
