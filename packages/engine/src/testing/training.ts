import * as jax from "@jax-js/jax";
import { compileStep, type Device, scalar, Tensor, zeros } from "../index.js";

const { numpy: np, nn } = jax;

/** Sizes of the layers, and examples in a batch. */
const INPUTS = 6;
const HIDDEN = 16;
const CLASSES = 3;
const BATCH = 12;

interface Layers {
  w: jax.Array;
  b: jax.Array;
  out: jax.Array;
}
interface Carry {
  layers: Layers;
  momentum: Layers;
}

export interface Training {
  losses: number[];
  /** How many examples were classified right after each step. */
  hits: number[];
  /** All weights after the last step. */
  weights: number[];
}

/**
 * Some steps of a small training, the same on every device: float32, integer labels, booleans, a captured array,
 * gather and its gradient, softmax, products.
 */
export async function train(device: Device, steps: number): Promise<Training> {
  const scales = np.array([1, 0.5, 2, 1, 0.25, 1]);
  const loss = ({ w, b, out }: Layers, x: jax.Array, labels: jax.Array) => {
    const hidden = nn.gelu(np.matmul(x.mul(scales), w).add(b));
    const logProbs = nn.logSoftmax(np.matmul(hidden, out), -1);
    const picked = np.takeAlongAxis(logProbs, labels.reshape([BATCH, 1]), -1);
    const isRight = np.argmax(logProbs, -1).equal(labels);
    return [picked.mean().neg(), isRight] as [jax.Array, jax.Array];
  };
  const step = ({ layers, momentum }: Carry, x: jax.Array, labels: jax.Array, rate: jax.Array) => {
    const [[value, isRight], gradient] = jax.valueAndGrad(loss, { hasAux: true })(layers, x, labels);
    const next = (name: keyof Layers) => momentum[name].mul(0.9).add((gradient as unknown as Layers)[name]);
    const moved: Layers = { w: next("w"), b: next("b"), out: next("out") };
    const stepped = (name: keyof Layers) => layers[name].sub(moved[name].mul(rate));
    const carry: Carry = {
      layers: { w: stepped("w"), b: stepped("b"), out: stepped("out") },
      momentum: moved,
    };
    return [carry, { value, isRight }] as const;
  };

  const layers = { w: waves([INPUTS, HIDDEN], 1), b: zeros([HIDDEN]), out: waves([HIDDEN, CLASSES], 2) };
  const momentum = { w: zeros([INPUTS, HIDDEN]), b: zeros([HIDDEN]), out: zeros([HIDDEN, CLASSES]) };
  const x = waves([BATCH, INPUTS], 3);
  const labels = new Tensor(Int32Array.from({ length: BATCH }, (_, i) => (i * i) % CLASSES));
  const program = await compileStep(step, [{ layers, momentum }, x, labels, scalar(0)], { device });
  scales.dispose();
  const losses: number[] = [];
  const hits: number[] = [];
  for (let i = 0; i < steps; i++) {
    const { value, isRight } = await program.run(x, labels, scalar(0.1 / (1 + i)));
    losses.push(value.item());
    hits.push([...isRight.data].filter((hit) => hit === 1).length);
  }
  const trained = (await program.carry()).layers;
  await program.dispose();
  return { losses, hits, weights: [...trained.w.data, ...trained.b.data, ...trained.out.data] };
}

function waves(shape: readonly number[], phase: number): Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return new Tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(1.7 * i * phase + phase) / 2),
    shape,
  );
}
