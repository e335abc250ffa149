// Prints, as JSON, which devices there are and what a small training gives on WebGPU and twice so.

import * as jax from "@jax-js/jax";
import { compile, devices, Tensor } from "../index.js";
import { train } from "./training.js";

const steps = Number(process.argv[2]);
/** Sorts, integers and booleans, for which WebGPU has no kernels: they fall to the CPU. */
const mixed = (x: jax.Array, n: jax.Array, mask: jax.Array) => {
  const { numpy: np } = jax;
  return [np.sort(x.mul(2)), np.argsort(x), n.mul(n).add(1), np.where(mask, x, x.mul(-1)), mask] as const;
};
const args: [Tensor, Tensor, Tensor] = [
  new Tensor(Float32Array.of(3, 1, 2)),
  new Tensor(Int32Array.of(-2, 5)),
  new Tensor(Uint8Array.of(1, 0, 1)),
];
const program = await compile(mixed, args, { device: "webgpu" });
const results = await program.run(...args);
await program.dispose();
console.log(
  JSON.stringify({
    devices: await devices(),
    mixed: results.map(({ dtype, data }) => [dtype, [...data]]),
    trainings: [await train("webgpu", steps), await train("webgpu", steps)],
  }),
);
