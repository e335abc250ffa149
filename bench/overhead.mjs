// What a run costs beside its arithmetic: programs that compute next to nothing.
//
//   npm run bench -- overhead      or      node bench/overhead.mjs [--json]
import { compile, compileSteps, scalar, Tensor } from "@outgrow/engine";
import * as ort from "onnxruntime-node";
import { inTurns, median, milliseconds, report } from "./harness.mjs";

const [ROUNDS, RUNS, STEPS] = [15, 1000, 1000];
const one = scalar(1);
const five = new Array(5).fill(one);
const increment = await compile((x) => x.add(1), [one]);
const sums = await compile((a, b, c, d, e) => [a.add(b), c.add(d), e.add(1)], five);
const counting = await compileSteps((count, by) => [count.add(by), count], [one, one]);
const session = await ort.InferenceSession.create(increment.toOnnx(), { intraOpNumThreads: 1 });
const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", one.data, []) };
const inputs = new Tensor(new Float32Array(STEPS).fill(1));

const microseconds = (run, count) => async () =>
  (1000 / count) *
  (await milliseconds(async () => {
    for (let i = 0; i < count; i++) await run();
  }));
const sides = {
  empty: microseconds(() => increment.run(one), RUNS),
  bare: microseconds(() => session.run(feeds), RUNS),
  five: microseconds(() => sums.run(...five), RUNS),
  step: async () => (await microseconds(() => counting.run(inputs), 1)()) / STEPS,
};
for (const side of Object.values(sides)) await side();
const times = await inTurns(ROUNDS, sides);
const [empty, bare] = [median(times.empty), median(times.bare)];
report([
  {
    name: "empty run (one addition)",
    unit: "us",
    ours: empty,
    peer: bare,
    ratio: bare / empty,
    note: "peer: onnxruntime-node's own session.run of the same model",
  },
  { name: "run of five scalars to three", unit: "us", ours: median(times.five) },
  { name: "empty step within a run of 1,000", unit: "us", ours: median(times.step) },
]);
await Promise.all([increment, sums, counting].map((program) => program.dispose()));
