import { availableParallelism, totalmem } from "node:os";
import { devices } from "@outgrow/engine";
import { gib, UserError } from "outgrow";
import { runWorker } from "outgrow/queue";

export interface WorkerCommandOptions {
  queue: string;
  store?: string;
  memory?: string;
  threads?: number;
}

/** `outgrow worker --queue URL`: one more machine for sweeps, until it is stopped. */
export async function worker(options: WorkerCommandOptions, signal: AbortSignal): Promise<void> {
  const { queue, store, threads = availableParallelism() } = options;
  const memoryBytes = options.memory === undefined ? Math.floor(0.8 * totalmem()) : bytesOf(options.memory);
  const present = await devices();
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

function bytesOf(text: string): number {
  const found = /^(\d+(?:\.\d+)?) ?(MiB|GiB)$/.exec(text);
  if (found) return Math.round(Number(found[1]) * (found[2] === "GiB" ? 2 ** 30 : 2 ** 20));
  throw new UserError(`"${text}" is not a size of memory`, {
    hint: 'Expected for example "8 GiB" or 512MiB.',
  });
}
