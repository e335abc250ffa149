// What 10,000 steps in a row, and 200 programs compiled and disposed of, leave behind in memory.
//
//   npm run bench:memory [-- --json]
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as jax from "@jax-js/jax";
import { compile, compileStep, Tensor } from "@outgrow/engine";
import { report } from "./harness.mjs";

const { numpy: np, nn } = jax;
const STEPS = 10_000;
const COMPILATIONS = 200;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");

/** Memory once garbage is collected and its finalizers have run. */
async function settled() {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage();
}

/** Megabytes by which memory grows over `count` times `body`, after a tenth of that to warm up. */
async function growth(count, body) {
  for (let i = 0; i < count / 10; i++) await body();
  const before = await settled();
  for (let i = 0; i < count; i++) await body();
  const after = await settled();
  return { heap: (after.heapUsed - before.heapUsed) / 1e6, rss: (after.rss - before.rss) / 1e6 };
}

const floats = (shape) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)),
    shape,
  );
const x = floats([32, 64]);

const step = await compileStep(
  (w, x) => {
    const loss = (w) => np.square(np.matmul(x, w)).mean();
    const [value, gradient] = jax.valueAndGrad(loss)(w);
    return [w.sub(gradient.mul(0.01)), { loss: value, gradient }];
  },
  [floats([64, 64]), x],
);
const steps = await growth(STEPS, () => step.run(x));
await step.dispose();

const constant = Float32Array.from({ length: 65_536 }, (_, i) => i);
const compilations = await growth(COMPILATIONS, async () => {
  const fn = (x) => nn.softmax(np.matmul(x, np.array(constant, { shape: [64, 1024] })), -1).sum();
  const program = await compile(fn, [x], { cache: false });
  await program.run(x);
  await program.dispose();
});

const figure = (name, ours, target, note) => ({ name, unit: "MB", ours, target: `<= ${target}`, note });
report([
  figure(`heap after ${STEPS} more steps`, steps.heap, 0.5, "each step returns 16 KB"),
  figure(`resident memory after ${STEPS} more steps`, steps.rss, 10, "each step returns 16 KB"),
  figure(`heap after ${COMPILATIONS} more compilations`, compilations.heap, 2, ""),
  figure(
    `resident memory after ${COMPILATIONS} more compilations`,
    compilations.rss,
    40,
    "52 MB of constants",
  ),
]);
