import { UnsupportedPrimitiveError } from "../errors.js";
import { dataTypes, type OnnxDType } from "../onnx/model.js";
import type { Graph, Value } from "./graph.js";
import { product, shapeOf } from "./view.js";

/** Triangles up to this size are inverted, larger ones are split in two. */
const INVERTED = 32;

/** Matrices up to this size are factorised column by column, larger ones are split in two. */
const UNBLOCKED = 32;

/** Each column takes some 7 nodes, so that larger ones take long to compile. */
const LARGEST_CHOLESKY = 256;
const LARGEST_SOLVE = 1024;

/** Each column of an LU decomposition takes some 18 nodes over the whole matrix, since any row may be the pivot. */
const LARGEST_LU = 32;

/**
 * Solves `X = B A^-T` for upper triangular A `[..., n, n]` and B `[..., m, n]`; what is below the diagonal is not read.
 * Where jax-js divides by a zero of the diagonal, and in what follows from there, this gives NaN for its infinities.
 */
export function triangularSolve(graph: Graph, a: Value, b: Value, unitDiagonal: boolean): Value {
  const shape = shapeOf(b.view);
  const [m, n] = shape.slice(-2);
  refuseAbove(LARGEST_SOLVE, n, "triangular_solve");
  const matrices = new Matrices(graph, b.dtype, product(shape.slice(0, -2)));
  const [left, right] = [matrices.stack(a, n, n), matrices.stack(b, m, n)];
  return graph.value(
    graph.reshape(matrices.solve(left, right, "upper", unitDiagonal), shape),
    b.dtype,
    shape,
  );
}

/** The lower triangular L with A = L L^T; of A `[..., n, n]` only the lower triangle is read. */
export function cholesky(graph: Graph, a: Value): Value {
  const shape = shapeOf(a.view);
  const n = shape.at(-1) as number;
  refuseAbove(LARGEST_CHOLESKY, n, "cholesky");
  const matrices = new Matrices(graph, a.dtype, product(shape.slice(0, -2)));
  return graph.value(graph.reshape(matrices.cholesky(matrices.stack(a, n, n)), shape), a.dtype, shape);
}

/** L and U of P A = L U in one matrix `[..., m, n]`, the row that each step swapped in, and P as a list of rows. */
export function lu(graph: Graph, a: Value): Value[] {
  const shape = shapeOf(a.view);
  const [m, n] = shape.slice(-2);
  refuseAbove(LARGEST_LU, Math.max(m, n), "lu");
  const batch = shape.slice(0, -2);
  const matrices = new Matrices(graph, a.dtype, product(batch));
  const [factors, pivots, rows] = matrices.lu(matrices.stack(a, m, n));
  const integers = (name: string, length: number) => {
    const [cast] = graph.node("Cast", [name], [graph.shapeOf(name)], { to: dataTypes.int32 });
    const result = [...batch, length];
    return graph.value(graph.reshape(cast, result), "int32", result);
  };
  return [
    graph.value(graph.reshape(factors, shape), a.dtype, shape),
    integers(pivots, Math.min(m, n)),
    integers(rows, m),
  ];
}

function refuseAbove(largest: number, n: number, primitive: string): void {
  if (n > largest) {
    throw new UnsupportedPrimitiveError(`${primitive} of matrices larger than ${largest} x ${largest}`);
  }
}

type Triangle = "upper" | "lower";

/** Operations on stacks of matrices, tensors of shape `[batch, rows, columns]`. */
class Matrices {
  constructor(
    private readonly graph: Graph,
    private readonly dtype: OnnxDType,
    private readonly batch: number,
  ) {}

  stack(value: Value, rows: number, columns: number): string {
    return this.graph.reshape(this.graph.dense(value), [this.batch, rows, columns]);
  }

  /** `X = B A^-T`, by blocks: what is known of X is taken off the right side of the rest. */
  solve(a: string, b: string, triangle: Triangle, unitDiagonal: boolean): string {
    const [, m, n] = this.graph.shapeOf(b);
    if (n <= INVERTED) {
      return this.multiply(b, this.transpose(this.inverse(a, triangle, unitDiagonal)));
    }
    const k = middle(n, INVERTED);
    const [head, tail]: Range[] = [
      [0, k],
      [k, n],
    ];
    const [first, second] = triangle === "upper" ? [tail, head] : [head, tail];
    const all: Range = [0, m];
    const x = this.solve(this.part(a, first, first), this.part(b, all, first), triangle, unitDiagonal);
    const known = this.multiply(x, this.transpose(this.part(a, second, first)));
    const rest = this.pointwise("Sub", this.part(b, all, second), known);
    const y = this.solve(this.part(a, second, second), rest, triangle, unitDiagonal);
    return this.join(triangle === "upper" ? [y, x] : [x, y], 2);
  }

  /**
   * The inverse of triangles, by doubling: with X the inverses of the diagonal blocks of size s and E the blocks
   * between two of them, those of size 2 s are X - X E X. Five products for a size of 32 instead of 32 steps.
   */
  private inverse(a: string, triangle: Triangle, unitDiagonal: boolean): string {
    const [, n] = this.graph.shapeOf(a);
    const [zero, one] = [this.number(0), this.number(1)];
    const diagonal = this.mask(n, n, (i, j) => i === j);
    const reciprocals = unitDiagonal ? one : this.pointwise("Div", one, this.choose(diagonal, a, one));
    let inverse = this.choose(diagonal, reciprocals, zero, [this.batch, n, n]);
    if (n === 1) return inverse;
    const negative = this.pointwise("Neg", a);
    for (let size = 1; size < n; size *= 2) {
      const between = this.mask(n, n, (i, j) => {
        const [row, column] = [i, j].map((index) => Math.floor(index / size));
        const [first, second] = triangle === "upper" ? [row, column] : [column, row];
        return first % 2 === 0 && second === first + 1;
      });
      const blocks = this.choose(between, negative, zero);
      const filled = this.multiply(this.multiply(inverse, blocks), inverse);
      // Chosen, not added: where the diagonal has a zero, the products are not numbers outside these blocks too.
      inverse = this.choose(between, filled, inverse);
    }
    return inverse;
  }

  cholesky(a: string): string {
    const [, n] = this.graph.shapeOf(a);
    if (n <= UNBLOCKED) return this.choleskyByColumns(a);
    const k = middle(n, UNBLOCKED);
    const [head, tail]: Range[] = [
      [0, k],
      [k, n],
    ];
    const first = this.cholesky(this.part(a, head, head));
    const below = this.solve(first, this.part(a, tail, head), "lower", false);
    const rest = this.pointwise("Sub", this.part(a, tail, tail), this.multiply(below, this.transpose(below)));
    const zeros = this.graph.node(
      "Expand",
      [this.number(0), this.graph.integers([this.batch, k, n - k])],
      [[this.batch, k, n - k]],
    )[0];
    return this.join([this.join([first, zeros], 2), this.join([below, this.cholesky(rest)], 2)], 1);
  }

  /** Each column is divided by the root of its pivot and its square taken off the rest; what that leaves above is cut off. */
  private choleskyByColumns(a: string): string {
    const [, n] = this.graph.shapeOf(a);
    const columns: string[] = [];
    const roots: string[] = [];
    let rest = a;
    for (let j = 0; j < n; j++) {
      const column = this.part(rest, [0, n], [j, j + 1]);
      const root = this.pointwise("Sqrt", this.part(column, [j, j + 1], [0, 1]));
      const scaled = this.pointwise("Div", column, root);
      columns.push(scaled);
      roots.push(root);
      if (j < n - 1)
        rest = this.pointwise("Sub", rest, this.pointwise("Mul", scaled, this.transpose(scaled)));
    }
    const below = this.mask(n, n, (i, j) => i > j);
    const diagonal = this.mask(n, n, (i, j) => i === j);
    const factor = this.choose(below, this.join(columns, 2), this.number(0));
    // The roots themselves: 0 / sqrt(0) is not 0.
    return this.choose(diagonal, this.join(roots, 2), factor);
  }

  /** The factors, the pivots and the order of the rows, the last two as floats. */
  lu(a: string): [string, string, string] {
    const { graph } = this;
    const [, m, n] = graph.shapeOf(a);
    const steps = Math.min(m, n);
    // The numbers of the rows travel as one more column.
    const order = this.floats([1, m, 1], (i) => i);
    const [rowNumbers] = graph.node(
      "Expand",
      [order, graph.integers([this.batch, m, 1])],
      [[this.batch, m, 1]],
    );
    let rows = this.join([a, rowNumbers], 2);
    const pivots: string[] = [];
    for (let j = 0; j < steps; j++) {
      const size = this.pointwise("Abs", this.part(rows, [0, m], [j, j + 1]));
      const [notNumber] = graph.node("IsNaN", [size], [[this.batch, m, 1]]);
      // As in jax-js, what is not a number is no pivot unless it stands where the pivot is to come.
      const comparable = this.choose(
        notNumber,
        this.floats([1, m, 1], (i) => (i === j ? Infinity : -0.5)),
        size,
      );
      const isCandidate = this.mask(m, 1, (i) => i >= j);
      const candidates = this.choose(isCandidate, comparable, this.number(-1));
      const [pivot] = graph.node("ArgMax", [candidates], [[this.batch, 1, 1]], { axis: 1 });
      const [number] = graph.node("Cast", [pivot], [[this.batch, 1, 1]], { to: dataTypes[this.dtype] });
      pivots.push(number);
      const width = [this.batch, 1, n + 1];
      const [everywhere] = graph.node("Expand", [pivot, graph.integers(width)], [width]);
      const [chosen] = graph.node("GatherElements", [rows, everywhere], [width], { axis: 1 });
      const [isPivot] = graph.node("Equal", [number, order], [[this.batch, m, 1]]);
      const swappedOut = this.choose(isPivot, this.part(rows, [j, j + 1], [0, n + 1]), rows);
      const swapped = this.choose(
        this.mask(m, 1, (i) => i === j),
        chosen,
        swappedOut,
      );

      const divisor = this.part(chosen, [0, 1], [j, j + 1]);
      const [isZero] = graph.node("Equal", [divisor, this.number(0)], [[this.batch, 1, 1]]);
      // Where the largest candidate is 0 all are, and stay so.
      const safe = this.choose(isZero, this.number(1), divisor);
      const factors = this.pointwise("Div", this.part(swapped, [0, m], [j, j + 1]), safe);
      const reduced = this.pointwise("Sub", swapped, this.pointwise("Mul", factors, chosen));
      const withFactors = this.choose(
        this.mask(m, n + 1, (i, k) => i > j && k === j),
        factors,
        swapped,
      );
      const isReduced = this.mask(m, n + 1, (i, k) => i > j && k > j && k < n);
      rows = this.choose(isReduced, reduced, withFactors);
    }
    return [this.part(rows, [0, m], [0, n]), this.join(pivots, 2), this.part(rows, [0, m], [n, n + 1])];
  }

  private multiply(a: string, b: string): string {
    const [, rows] = this.graph.shapeOf(a);
    const [, , columns] = this.graph.shapeOf(b);
    return this.graph.node("MatMul", [a, b], [[this.batch, rows, columns]])[0];
  }

  private transpose(name: string): string {
    const [batch, rows, columns] = this.graph.shapeOf(name);
    if (rows === 1 || columns === 1) return this.graph.reshape(name, [batch, columns, rows]);
    return this.graph.node("Transpose", [name], [[batch, columns, rows]], { perm: [0, 2, 1] })[0];
  }

  private part(name: string, rows: Range, columns: Range): string {
    const { graph } = this;
    const shape = graph.shapeOf(name);
    const ranges = [rows, columns];
    const axes = [0, 1].filter((axis) => ranges[axis][1] - ranges[axis][0] < shape[axis + 1]);
    if (axes.length === 0) return name;
    const list = (of: (axis: number) => number) => graph.integers(axes.map(of));
    const result = [shape[0], ...ranges.map(([start, end]) => end - start)];
    return graph.node(
      "Slice",
      [name, list((axis) => ranges[axis][0]), list((axis) => ranges[axis][1]), list((axis) => axis + 1)],
      [result],
    )[0];
  }

  private join(parts: readonly string[], axis: 1 | 2): string {
    if (parts.length === 1) return parts[0];
    const shape = [...this.graph.shapeOf(parts[0])];
    shape[axis] = parts.reduce((total, part) => total + this.graph.shapeOf(part)[axis], 0);
    return this.graph.node("Concat", parts, [shape], { axis })[0];
  }

  private pointwise(op: string, ...operands: readonly string[]): string {
    return this.graph.node(op, operands, [this.broadcast(operands)])[0];
  }

  private choose(mask: string, chosen: string, other: string, shape = this.broadcast([mask, chosen, other])) {
    const [name] = this.graph.node("Where", [mask, chosen, other], [shape]);
    return name;
  }

  private broadcast(operands: readonly string[]): number[] {
    const shapes = operands.map((operand) => this.graph.shapeOf(operand));
    return [0, 1, 2].map((axis) =>
      Math.max(1, ...shapes.map((shape) => shape[shape.length - 3 + axis] ?? 1)),
    );
  }

  private mask(rows: number, columns: number, test: (i: number, j: number) => boolean): string {
    const bytes = Uint8Array.from({ length: rows * columns }, (_, at) =>
      Number(test(Math.floor(at / columns), at % columns)),
    );
    return this.graph.constant("bool", [1, rows, columns], bytes).name;
  }

  private number(value: number): string {
    return this.floats([], () => value);
  }

  private floats(shape: readonly number[], from: (i: number) => number): string {
    const values = Array.from({ length: product(shape) }, (_, i) => from(i));
    const data = this.dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
    return this.graph.constant(this.dtype, shape, data).name;
  }
}

/** From the first to before the last index. */
type Range = readonly [number, number];

/** About half of n, a multiple of `block`. */
const middle = (n: number, block: number): number => block * Math.ceil(n / 2 / block);
