// A worker thread: trains, and answers with the result. Told to, it leaves its last program undisposed.
import { parentPort, workerData } from "node:worker_threads";
import * as jax from "@jax-js/jax";
import { compile, scalar } from "../index.js";
import { train } from "./training.js";

const { steps, leave } = workerData as { steps: number; leave: boolean };
const training = await train("cpu", steps);
if (leave) {
  const program = await compile((x: jax.Array) => jax.numpy.exp(x), [scalar(0)]);
  await program.run(scalar(1));
}
parentPort?.postMessage(training);
