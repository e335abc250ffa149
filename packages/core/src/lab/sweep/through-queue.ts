/* Runs on many machines: the package's entry point "outgrow/queue", apart because the clients of Redis take time to load. */
import { type Executor, gib } from "./executors.js";
import { fits, type QueueSettings, RunQueue } from "./queue.js";
import { taskOf } from "./run-task.js";
import type { Resources } from "./spec.js";

export { type QueueWorkerOptions, runWorker } from "./worker.js";

/** Workers that take runs from a queue: as many machines as there are. */
export async function throughQueue(
  url: string,
  resources: Resources,
  {
    sweep,
    onNotice,
    settings,
  }: { sweep: string; onNotice: (text: string) => void; settings?: Partial<QueueSettings> },
): Promise<Executor> {
  const queue = await RunQueue.open(url, settings);
  const able = async () => (await queue.workers()).filter((worker) => fits(worker, resources));
  if ((await able()).length === 0) {
    const others = (await queue.workers()).length;
    onNotice(
      others === 0
        ? `No worker is there yet: start some with "outgrow worker --queue ${withoutPassword(url)}".`
        : `None of the ${others} workers has the ${gib(resources.memoryBytes)}, ${resources.threads} threads and ${resources.device} that a run needs: waiting for one.`,
    );
  }
  return {
    place: `the queue at ${new URL(url).host}`,
    async parallel() {
      const workers = await able();
      if (workers.length === 0) return null;
      return workers.reduce(
        (sum, { memoryBytes, threads }) =>
          sum +
          Math.min(Math.floor(memoryBytes / resources.memoryBytes), Math.floor(threads / resources.threads)),
        0,
      );
    },
    execute: (run, options) => queue.run(`${sweep}-${run.id}`, taskOf(run), resources, options),
    close: () => queue.close(),
  };
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = "…";
  return shown.href;
}
