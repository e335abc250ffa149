import { halfBits } from "../float16.js";
import type { Attribute, OnnxDType, OnnxInitializer, OnnxNode } from "../onnx/model.js";
import { contiguousView, type Factor, product, sizes, type View } from "./view.js";

/** A value of the program: a tensor of the ONNX graph and the way in which it is looked at. */
export interface Value {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly view: View;
  /**
   * A constant that every element is still to be multiplied by. Negations and scalings travel with the value through
   * all that is linear, and mostly meet another constant, a subtraction or a product instead of costing a pass.
   */
  readonly scale?: number;
}

const scalarData: Record<OnnxDType, (value: number) => ArrayBufferView> = {
  float32: (value) => Float32Array.of(value),
  float64: (value) => Float64Array.of(value),
  float16: (value) => halfBits([value]),
  int32: (value) => Int32Array.of(value),
  uint32: (value) => Uint32Array.of(value),
  int64: (value) => BigInt64Array.of(BigInt(value)),
  uint8: (value) => Uint8Array.of(value),
  bool: (value) => Uint8Array.of(value ? 1 : 0),
};

/**
 * An ONNX graph under construction. Nodes with the same operator, inputs and attributes are made once, so lowering
 * rules may ask for the same reshape or transpose as often as they like.
 */
export class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  /** The shape under which each tensor stands in the graph; its view only has to have the same elements. */
  private readonly shapes = new Map<string, readonly number[]>();
  private readonly known = new Map<string, string[]>();
  private readonly makers = new Map<string, OnnxNode>();
  private readonly scalars = new Map<string, number>();
  private readonly casts = new Map<string, Pick<Value, "name" | "dtype">>();
  private count = 0;

  /** A graph input, as it comes: in row-major order. */
  input(name: string, dtype: OnnxDType, shape: readonly number[]): Value {
    this.shapes.set(name, shape);
    return { name, dtype, view: contiguousView(shape) };
  }

  /** A constant tensor, stored once however often it is asked for. */
  constant(dtype: OnnxDType, shape: readonly number[], data: ArrayBufferView): Value {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const key = bytes.length <= 64 ? `constant ${dtype} [${shape}] ${bytes.join()}` : undefined;
    const name = (key !== undefined && this.known.get(key)?.[0]) || `c${this.count++}`;
    if (!this.shapes.has(name)) {
      this.shapes.set(name, shape);
      this.initializers.push({ name, dtype, shape, bytes });
      if (key !== undefined) this.known.set(key, [name]);
    }
    return { name, dtype, view: contiguousView(shape) };
  }

  /** A scalar constant. */
  scalar(dtype: OnnxDType, value: number): Value {
    const constant = this.constant(dtype, [], scalarData[dtype](value));
    this.scalars.set(constant.name, value);
    return constant;
  }

  /** Remembers what a conversion was made from, so that converting back can be left out. */
  noteCast(name: string, origin: Pick<Value, "name" | "dtype">): void {
    this.casts.set(name, origin);
  }

  castOrigin(name: string): Pick<Value, "name" | "dtype"> | undefined {
    return this.casts.get(name);
  }

  /** The number that a value is everywhere, where it is a constant. */
  knownScalar(value: Value): number | undefined {
    const constant = this.scalars.get(value.name);
    return constant === undefined ? undefined : constant * (value.scale ?? 1);
  }

  /** The value with its pending scale multiplied in. */
  settle(value: Value): Value {
    const { scale = 1, ...rest } = value;
    if (scale === 1) return rest;
    const dims = this.shapeOf(value.name);
    const maker = this.maker(value.name);
    if (maker?.op === "Mul") {
      // Of a product with something small, scale that.
      const size = (name: string) => product(this.shapeOf(name));
      const small = maker.inputs.findIndex((input) => 8 * size(input) <= product(dims));
      if (small >= 0) {
        const part = { ...rest, name: maker.inputs[small], scale };
        const inputs = maker.inputs.with(small, this.settle(part).name);
        return { ...rest, name: this.node("Mul", inputs, [dims])[0] };
      }
    }
    const [scaled] =
      scale === -1
        ? this.node("Neg", [value.name], [dims])
        : this.node("Mul", [value.name, this.scalar(value.dtype, scale).name], [dims]);
    return { ...rest, name: scaled };
  }

  /** A list of integers, for operators that take axes, shapes or bounds as an input. */
  integers(values: readonly number[]): string {
    return this.constant("int64", [values.length], BigInt64Array.from(values, BigInt)).name;
  }

  /** Adds a node and returns the names of its outputs, whose graph shapes are given. */
  node(
    op: string,
    inputs: readonly string[],
    outputShapes: readonly (readonly number[])[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain?: string,
  ): string[] {
    const key = `${domain ?? ""} ${op} ${inputs.join()} ${JSON.stringify(attributes)} ${JSON.stringify(outputShapes)}`;
    const same = this.known.get(key);
    if (same) return same;
    const outputs = outputShapes.map(() => `v${this.count++}`);
    const node = { op, inputs, outputs, attributes, ...(domain ? { domain } : {}) };
    this.nodes.push(node);
    for (const [i, output] of outputs.entries()) {
      this.shapes.set(output, outputShapes[i]);
      this.makers.set(output, node);
    }
    this.known.set(key, outputs);
    return outputs;
  }

  /** The node that made a tensor; undefined for inputs and constants. */
  maker(name: string): OnnxNode | undefined {
    return this.makers.get(name);
  }

  /** The shape under which a tensor stands in the graph. */
  shapeOf(name: string): readonly number[] {
    return this.shapes.get(name) as readonly number[];
  }

  /** The tensor under another shape with the same elements in the same order. */
  reshape(name: string, shape: readonly number[]): string {
    const from = this.shapeOf(name);
    if (from.length === shape.length && from.every((size, i) => size === shape[i])) return name;
    const maker = this.maker(name);
    if (maker?.op === "Reshape") return this.reshape(maker.inputs[0], shape);
    return this.node("Reshape", [name, this.integers(shape)], [shape])[0];
  }

  /** The value with its real factors in the given order in the buffer. */
  arrange(value: Value, order: readonly Factor[]): Value {
    const { physical, axes } = value.view;
    if (order.every((factor, i) => factor === physical[i])) return value;
    // Factors that stay neighbours travel as one dimension.
    const runs: Factor[][] = [];
    for (const factor of order) {
      const last = runs.at(-1)?.at(-1);
      if (last && physical.indexOf(last) + 1 === physical.indexOf(factor)) runs.at(-1)?.push(factor);
      else runs.push([factor]);
    }
    const source = [...runs].sort((a, b) => physical.indexOf(a[0]) - physical.indexOf(b[0]));
    const dims = (list: readonly Factor[][]) => list.map((run) => product(sizes(run)));
    const [name] = this.node("Transpose", [this.reshape(value.name, dims(source))], [dims(runs)], {
      perm: runs.map((run) => source.indexOf(run)),
    });
    return { ...value, name, view: { physical: [...order], axes } };
  }

  /** The value written out in row-major order, repetitions included. */
  materialise(value: Value): Value {
    const order = value.view.axes.flat();
    const arranged = this.arrange(
      value,
      order.filter((factor) => factor.real),
    );
    const view = contiguousView(value.view.axes.map((axis) => product(sizes(axis))));
    if (order.every((factor) => factor.real)) return { ...arranged, view };
    const present = order.map((factor) => (factor.real ? factor.size : 1));
    const [name] = this.node(
      "Expand",
      [this.reshape(arranged.name, present), this.integers(sizes(order))],
      [sizes(order)],
    );
    return { ...value, name, view };
  }

  /** The value as a tensor of exactly its logical shape, in row-major order. */
  dense(value: Value): string {
    return this.reshape(
      this.materialise(this.settle(value)).name,
      value.view.axes.map((axis) => product(sizes(axis))),
    );
  }

  /** A dense tensor as a value. */
  value(name: string, dtype: OnnxDType, shape: readonly number[] = this.shapes.get(name) as number[]): Value {
    return { name, dtype, view: contiguousView(shape) };
  }
}
