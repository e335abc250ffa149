import { UnsupportedPrimitiveError } from "../errors.js";
import type { OnnxDType } from "../onnx/model.js";
import type { Graph, Value } from "./graph.js";
import { product, shapeOf } from "./view.js";

/** Lengths up to this are one matrix product; longer ones are split in two while they have divisors. */
const DIRECT = 128;

/** A longer prime would need a matrix of more than 16 megabytes. */
const LONGEST_PRIME = 1024;

/**
 * The discrete Fourier transform along the last axis, as products with the matrices of roots of unity, by Cooley and
 * Tukey's split n = n1 n2 where n is long. (ONNX's DFT operator is exact to three digits only in ONNX Runtime 1.30
 * where n is no power of two, and no faster than the products where it is one.)
 */
export function fourier(graph: Graph, real: Value, imag: Value, inverse: boolean): [Value, Value] {
  const { dtype } = real;
  const shape = shapeOf(real.view);
  const n = shape.at(-1) as number;
  const rows = product(shape.slice(0, -1));
  const transform = new Transform(graph, dtype, inverse ? 1 : -1);

  const planes = graph.knownScalar(imag) === 0 ? [real] : [real, imag];
  const stacked = planes.map((plane) => graph.reshape(graph.dense(plane), [rows, 1, n]));
  const input =
    stacked.length === 1 ? stacked[0] : graph.node("Concat", stacked, [[rows, 2, n]], { axis: 1 })[0];
  const spectrum = transform.apply(input, inverse ? 1 / n : 1);
  const halves = [
    [rows, 1, n],
    [rows, 1, n],
  ];
  const parts = graph.node("Split", [spectrum, graph.integers([1, 1])], halves, { axis: 1 });
  const [a, b] = parts.map((part) => graph.value(graph.reshape(part, shape), dtype, shape));
  return [a, b];
}

class Transform {
  constructor(
    private readonly graph: Graph,
    private readonly dtype: OnnxDType,
    /** Of the exponents: -1 forward, 1 inverse. */
    private readonly sign: 1 | -1,
  ) {}

  /** From `[rows, planes, n]`, with a real plane or a real and an imaginary one, to `[rows, 2, n]`, times `scale`. */
  apply(input: string, scale: number): string {
    const [rows, planes, n] = this.graph.shapeOf(input);
    const n1 = n > DIRECT ? divisorNearRoot(n) : 1;
    if (n1 === 1) {
      if (n > Math.max(DIRECT, LONGEST_PRIME)) {
        throw new UnsupportedPrimitiveError(`fft of a length with the prime factor ${n}`);
      }
      const flat = this.graph.reshape(input, [rows, planes * n]);
      const [result] = this.graph.node("MatMul", [flat, this.matrix(n, planes, scale)], [[rows, 2 * n]]);
      return this.graph.reshape(result, [rows, 2, n]);
    }
    // X[k1 + n1 k2] = sum over j2 of w(n2)^(j2 k2) w(n)^(j2 k1) sum over j1 of w(n1)^(j1 k1) x[n2 j1 + j2]
    const n2 = n / n1;
    const columns = this.arrange(input, [rows, planes, n1, n2], [0, 3, 1, 2]);
    const inner = this.apply(this.graph.reshape(columns, [rows * n2, planes, n1]), 1);
    const turned = this.twiddle(this.graph.reshape(inner, [rows, n2, 2, n1]), n);
    const across = this.arrange(turned, [rows, n2, 2, n1], [0, 3, 2, 1]);
    const outer = this.apply(this.graph.reshape(across, [rows * n1, 2, n2]), scale);
    return this.graph.reshape(this.arrange(outer, [rows, n1, 2, n2], [0, 2, 3, 1]), [rows, 2, n]);
  }

  private arrange(name: string, shape: readonly number[], perm: readonly number[]): string {
    const result = perm.map((axis) => shape[axis]);
    return this.graph.node("Transpose", [this.graph.reshape(name, shape)], [result], { perm })[0];
  }

  /** `[rows, n2, 2, n1]` times w(n)^(j2 k1): (a + ib)(c + is) = (a, b) (c, c) + (b, a) (-s, s). */
  private twiddle(name: string, n: number): string {
    const shape = this.graph.shapeOf(name);
    const [, n2, , n1] = shape;
    const table = (from: (angle: number, plane: number) => number) =>
      this.numbers([n2, 2, n1], (i) =>
        from(this.angle(Math.floor(i / (2 * n1)) * (i % n1), n), Math.floor(i / n1) % 2),
      );
    const cosines = table(Math.cos);
    const sines = table((angle, plane) => (plane === 0 ? -1 : 1) * Math.sin(angle));
    const [swapped] = this.graph.node("Gather", [name, this.graph.integers([1, 0])], [shape], { axis: 2 });
    const [direct] = this.graph.node("Mul", [name, cosines], [shape]);
    const [crossed] = this.graph.node("Mul", [swapped, sines], [shape]);
    return this.graph.node("Add", [direct, crossed], [shape])[0];
  }

  /** The transform of length n as a matrix `[planes n, 2 n]`: (a, b) times ((C, S), (-S, C)). */
  private matrix(n: number, planes: number, scale: number): string {
    return this.numbers([planes * n, 2 * n], (i) => {
      const [row, column] = [Math.floor(i / (2 * n)), i % (2 * n)];
      const angle = this.angle((row % n) * (column % n), n);
      if (row < n) return scale * (column < n ? Math.cos(angle) : Math.sin(angle));
      return scale * (column < n ? -Math.sin(angle) : Math.cos(angle));
    });
  }

  private angle(power: number, n: number): number {
    return (this.sign * 2 * Math.PI * (power % n)) / n;
  }

  private numbers(shape: readonly number[], from: (i: number) => number): string {
    const values = Float64Array.from({ length: product(shape) }, (_, i) => from(i));
    const data = this.dtype === "float32" ? Float32Array.from(values) : values;
    return this.graph.constant(this.dtype, shape, data).name;
  }
}

/** The largest divisor of n that is at most its root; 1 for primes. */
function divisorNearRoot(n: number): number {
  let divisor = Math.floor(Math.sqrt(n));
  while (n % divisor !== 0) divisor--;
  return divisor;
}
