/*
 * Fourier transforms and linear algebra in the graph against jax-js's own Wasm backend, and what it costs to change
 * between ONNX Runtime and jax-js in the middle of a program.
 */
import * as jax from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { inTurns, median, milliseconds, report } from "./harness.mjs";

const { numpy: np, lax } = jax;
await jax.init("wasm");
jax.defaultDevice("wasm");

const filled = (shape, value) =>
  new Tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    shape,
  );
const noise = (shape) => filled(shape, (i) => Math.sin(12.9 * i + 0.3 * i * i));
/** Far from singular, symmetric. */
const definite = (n) =>
  filled([n, n], (i) => (i % (n + 1) === 0 ? n : Math.cos((i % n) * Math.floor(i / n))));

/** For the engine; and as jax-js runs it itself, where references count. */
const transform = [
  (x) => np.fft.fft({ real: x, imag: x.mul(0) }).real,
  (x) => np.fft.fft({ real: x.ref, imag: x.mul(0) }).real,
];
const solve = [
  (a) => lax.linalg.triangularSolve(a, a, { leftSide: true, lower: true }),
  (a) => lax.linalg.triangularSolve(a.ref, a, { leftSide: true, lower: true }),
];
const same = (fn) => [fn, fn];
const cholesky = same((a) => lax.linalg.cholesky(a));
const cases = [
  ["fft, 64 of 256", transform, noise([64, 256])],
  ["fft, 64 of 1024", transform, noise([64, 1024])],
  ["triangular solve, 64 x 64", solve, definite(64)],
  ["triangular solve, 256 x 256", solve, definite(256)],
  ["Cholesky, 128 x 128", cholesky, definite(128)],
  ["Cholesky, 256 x 256", cholesky, definite(256)],
  ["LU, 32 x 32", same((a) => lax.linalg.lu(a)[0]), definite(32)],
];

const figures = [];
for (const [name, [fn, eager], x] of cases) {
  const program = await compile((a) => fn(a), [x]);
  if (program.fallbacks.length > 0) throw new Error(`${name} runs on jax-js.`);
  const array = np.array(x.data, { shape: [...x.shape] });
  const theirs = async () => eager(array.ref).data();
  const [mine, other] = [(await program.run(x)).data, await theirs()];
  const worst = mine.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i])), 0);
  const times = await inTurns(15, {
    ours: () => milliseconds(() => program.run(x)),
    theirs: () => milliseconds(theirs),
  });
  const [ours, peer] = [median(times.ours), median(times.theirs)];
  figures.push({
    name,
    unit: "ms",
    ours,
    peer,
    ratio: peer / ours,
    note: `peer: jax-js on Wasm; largest difference ${worst.toExponential(0)}`,
  });
  await program.dispose();
}

const small = noise([8]);
const whole = await compile((x) => np.exp(np.sin(np.exp(x))), [small]);
const cut = await compile(
  (x) => np.exp(lax.linalg.eigh(np.exp(x).reshape([1, 8, 1]).sum(1, { keepdims: true }))[0].sum()),
  [small],
);
const times = await inTurns(7, {
  whole: () => milliseconds(() => many(whole)),
  cut: () => milliseconds(() => many(cut)),
});
figures.push({
  name: "one part on jax-js in the middle of a program",
  unit: "us",
  ours: median(times.cut) - median(times.whole),
  note: `two changes and the eigenvalues of a 1 x 1 matrix; without it a run takes ${median(times.whole).toFixed(1)} us`,
});
report(figures);

/** Microseconds become milliseconds over a thousand runs. */
async function many(program) {
  for (let i = 0; i < 1000; i++) await program.run(small);
}
