/* The thread in which bpe-files.ts counts words: it is given chunks of UTF-8 and answers each, then it is asked for the counts. */
import { parentPort, workerData } from "node:worker_threads";
import { wordCounter } from "./bpe.js";

const counter = wordCounter(workerData as readonly string[]);
parentPort?.on("message", (message: Uint8Array | "counts") => {
  if (message === "counts") {
    const counts = counter.counts();
    parentPort?.postMessage({ words: [...counts.keys()], counts: Float64Array.from(counts.values()) });
  } else {
    counter.add(Buffer.from(message.buffer, message.byteOffset, message.length).toString());
    parentPort?.postMessage("next");
  }
});
