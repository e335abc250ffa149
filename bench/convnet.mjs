// One training step (forward, backward, SGD with momentum) of a ResNet-8 on images of CIFAR's shape: here against
// PyTorch eager, in turns, in one run.
//
//   node bench/convnet.mjs [--rounds 7] [--json]
//
// ResNet-8 is the CIFAR ResNet of He et al. (2016, section 4.2) with one block in each of its three stages of 16, 32
// and 64 channels, batch norm with the batch's statistics, and 1x1 convolutions where a shortcut changes shape.
// PyTorch is asked with 1 and 2 threads and in both of its layouts of images; the best counts.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as jax from "@jax-js/jax";
import { compileStep, namedLeaves, Tensor } from "@outgrow/engine";
import { createRandom, flatTree } from "outgrow";
import { inTurns, median, report, startPeer } from "./harness.mjs";

const { numpy: np, nn, lax } = jax;
const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, json: { type: "boolean" } },
});
const batch = 64;
const imageSize = 32;
const classes = 10;
const stages = [16, 32, 64];
const learningRate = 0.05;
const momentum = 0.9;
const epsilon = 1e-5;
const STEPS_PER_ROUND = 5;
const LOSS_STEPS = 8;

const random = createRandom("bench/convnet");
const normal = (shape, deviation) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((size, n) => size * n, 1) }, () => deviation * random.normal()),
    shape,
  );
const filled = (shape, value) => new Tensor(new Float32Array(shape[0]).fill(value), shape);

/** A convolution (He's initialisation) and the batch norm behind it. */
const convolutionWithNorm = (channels, filters, kernel) => ({
  weight: normal([filters, channels, kernel, kernel], Math.sqrt(2 / (channels * kernel * kernel))),
  scale: filled([filters], 1),
  bias: filled([filters], 0),
});
const parameters = {
  stem: convolutionWithNorm(3, stages[0], 3),
  blocks: stages.map((filters, i) => {
    const channels = stages[Math.max(0, i - 1)];
    return {
      first: convolutionWithNorm(channels, filters, 3),
      second: convolutionWithNorm(filters, filters, 3),
      ...(i > 0 ? { shortcut: convolutionWithNorm(channels, filters, 1) } : {}),
    };
  }),
  head: { weight: normal([stages.at(-1), classes], 1 / 8), bias: filled([classes], 0) },
};

function convolutionNorm({ weight, scale, bias }, x, stride) {
  const pad = (weight.shape[2] - 1) / 2;
  const padding = [
    [pad, pad],
    [pad, pad],
  ];
  const y = lax.convGeneralDilated(x, weight, [stride, stride], padding);
  const axes = [0, 2, 3];
  const perChannel = (vector) => vector.reshape([1, -1, 1, 1]);
  const centred = y.sub(np.mean(y, axes, { keepdims: true }));
  const variance = np.mean(centred.mul(centred), axes, { keepdims: true });
  return centred.mul(perChannel(scale).div(np.sqrt(variance.add(epsilon)))).add(perChannel(bias));
}

function logitsOf(params, images) {
  let x = nn.relu(convolutionNorm(params.stem, images, 1));
  params.blocks.forEach((block, i) => {
    const stride = i > 0 ? 2 : 1;
    const inner = nn.relu(convolutionNorm(block.first, x, stride));
    const shortcut = block.shortcut ? convolutionNorm(block.shortcut, x, stride) : x;
    x = nn.relu(convolutionNorm(block.second, inner, 1).add(shortcut));
  });
  return np.matmul(np.mean(x, [2, 3]), params.head.weight).add(params.head.bias);
}

const flat = flatTree(parameters);
function trainStep(carry, images, labels) {
  const loss = (params) =>
    nn.logSoftmax(logitsOf(params, images), -1).mul(nn.oneHot(labels, classes)).sum(-1).mean().neg();
  const [value, gradient] = jax.valueAndGrad(loss)(flat.split(carry.parameters));
  const velocity = carry.velocity.mul(momentum).add(flat.concatenate(gradient));
  return [{ parameters: carry.parameters.sub(velocity.mul(learningRate)), velocity }, { loss: value }];
}

const images = normal([batch, 3, imageSize, imageSize], 1);
const labels = new Tensor(Int32Array.from({ length: batch }, () => random.integer(classes)));
const carry = { parameters: flat.flatten(parameters), velocity: new Tensor(new Float32Array(flat.size)) };
const program = await compileStep(trainStep, [carry, images, labels]);

async function ours(steps) {
  const losses = [];
  const started = performance.now();
  for (let i = 0; i < steps; i++) losses.push((await program.run(images, labels)).loss.item());
  return { ms: (performance.now() - started) / steps, losses };
}

const folder = mkdtempSync(join(tmpdir(), "outgrow-bench-"));
const isTensor = (node) => node instanceof Tensor;
const leaves = namedLeaves(parameters, isTensor).map(([name, { shape }]) => [name, shape]);
writeFileSync(join(folder, "parameters.f32"), carry.parameters.data);
writeFileSync(join(folder, "images.f32"), images.data);
writeFileSync(join(folder, "labels.i32"), labels.data);
writeFileSync(
  join(folder, "spec.json"),
  JSON.stringify({ batch, imageSize, stages, learningRate, momentum, epsilon, leaves }),
);

const peer = await startPeer("convnet_step.py", [folder]);
const settings = [1, 2].flatMap((threads) =>
  ["contiguous", "channels last"].map((layout) => ({ threads, layout })),
);
const nameOf = ({ threads, layout }) => `${layout}, ${threads} thread${threads > 1 ? "s" : ""}`;
const first = await ours(LOSS_STEPS);
let agreement = "";
if (peer) {
  const theirs = await peer.ask({ steps: LOSS_STEPS, ...settings[0] });
  const apart = Math.max(...first.losses.map((loss, i) => Math.abs(loss - theirs.losses[i])));
  agreement = `; losses of ${LOSS_STEPS} steps agree to ${apart.toExponential(0)}`;
  if (!(apart < 2e-3)) {
    throw new Error(`The sides train differently: losses ${first.losses} here, ${theirs.losses} there.`);
  }
  for (const setting of settings) await peer.ask({ steps: 2, ...setting });
}
const times = await inTurns(Number(options.rounds), {
  ours: async () => (await ours(STEPS_PER_ROUND)).ms,
  ...Object.fromEntries(
    (peer ? settings : []).map((setting) => [
      nameOf(setting),
      async () => (await peer.ask({ steps: STEPS_PER_ROUND, ...setting })).ms,
    ]),
  ),
});
peer?.stop();
rmSync(folder, { recursive: true });

const mine = median(times.ours);
const medians = Object.entries(times)
  .filter(([name]) => name !== "ours")
  .map(([name, list]) => [name, median(list)])
  .sort(([, a], [, b]) => a - b);
const best = medians[0]?.[1] ?? null;
report([
  {
    name: "ResNet-8 training step, 32x32, batch 64",
    unit: "ms/step",
    ours: mine,
    peer: best,
    ratio: best && best / mine,
    target: ">= 1",
    note: peer
      ? `PyTorch ${peer.ready.torch}, ms: ${medians.map(([name, ms]) => `${ms.toFixed(1)} (${name})`).join(", ")}${agreement}`
      : "no PyTorch here",
  },
]);
await program.dispose();
