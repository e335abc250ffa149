import { readFileSync, writeFileSync } from "node:fs";
import { compileStep, scalar, Tensor } from "@outgrow/engine";
import * as ort from "onnxruntime-node";
import * as og from "outgrow";
import { trainingOf } from "../packages/core/dist/train/training.js";

const B = Number(process.env.B ?? 32);
const config = og.transformerConfig("llama", {
  vocabularySize: 512,
  contextLength: 128,
  width: 128,
  layers: 5,
  heads: 4,
  keyValueHeads: 2,
  innerWidth: 344,
});
const random = og.createRandom(1);
const documents = Array.from({ length: 300 }, () => ({
  ids: Int32Array.from({ length: 16 + random.integer(100) }, () => random.integer(512)),
}));
const rows = og.packDocuments(documents, config);
const params = og.initTransformer(config, random);
const training = trainingOf({
  name: "lm",
  params,
  columns: rows,
  batchSize: B,
  optimizer: { ...og.languageModelOptimizer, weightDecay: 0.1 },
  loss: og.nextTokenLoss(config),
});
const inputs = { ...training.exampleInputs, learningRate: scalar(1e-3) };
const carry = training.start(params);
const program = await compileStep(training.step, [carry, inputs, rows]);
console.log("threads", program.threads);
const times = [];
for (let i = 0; i < 12; i++) {
  const t = performance.now();
  await program.run(inputs, rows);
  times.push(performance.now() - t);
}
console.log("ms", times.map((t) => t.toFixed(0)).join(" "), "min", Math.min(...times).toFixed(1));
const bytes = program.toOnnx();
writeFileSync("/tmp/prof/lm.onnx", bytes);
if (process.env.PROF) {
  const s = await ort.InferenceSession.create(bytes, {
    enableProfiling: true,
    profileFilePrefix: "/tmp/prof/lm",
    intraOpNumThreads: 2,
    extra: { session: { use_deterministic_compute: "1" } },
  });
  const feeds = {};
  const leaves = [];
  const walk = (x) => (x instanceof Tensor ? leaves.push(x) : Object.values(x).forEach(walk));
  walk(carry);
  walk(inputs);
  walk(rows);
  s.inputNames.forEach((n, i) => {
    feeds[n] = new ort.Tensor(leaves[i].dtype, leaves[i].data, leaves[i].shape);
  });
  for (let i = 0; i < 6; i++) await s.run(feeds);
  s.endProfiling();
}
await program.dispose();
