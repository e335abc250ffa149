/* A worker of the tests of queues: `node toy-worker.js URL SETTINGS`. */
import { runWorker } from "../sweep/worker.js";

const [, , url, settings] = process.argv;
await runWorker(url, {
  script: new URL("./toy-process.js", import.meta.url),
  memoryBytes: 4 * 2 ** 30,
  threads: 1,
  devices: ["cpu"],
  signal: new AbortController().signal,
  ...JSON.parse(settings ?? "{}"),
});
