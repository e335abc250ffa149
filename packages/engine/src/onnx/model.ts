import protobuf from "protobufjs/minimal.js";

/**
 * The part of ONNX's protobuf format that programs need, written without a schema compiler.
 * Field numbers are those of onnx.proto3 (IR version 10).
 */
export type OnnxDType =
  | "float32"
  | "float64"
  | "float16"
  | "int32"
  | "uint32"
  | "bool"
  // Inside graphs only:
  | "int64"
  | "uint8";

/** ONNX's numbers for the element types. */
export const dataTypes: Record<OnnxDType, number> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
};

/** A `graph` is the body of a Loop, Scan or If; it may also read what the graph around it has. */
export type Attribute =
  | number
  | readonly number[]
  | { readonly float: number }
  | { readonly graph: OnnxGraph }
  | string;

export interface OnnxNode {
  op: string;
  /** Whose operator it is; ONNX's own where it is left out. */
  domain?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxInitializer {
  name: string;
  dtype: OnnxDType;
  shape: readonly number[];
  /** Little-endian bytes. */
  bytes: Uint8Array;
}

export interface OnnxPort {
  name: string;
  dtype: OnnxDType;
  /** A name stands for a length that each run decides. */
  shape: readonly (number | string)[];
  doc?: string;
}

export interface OnnxGraph {
  name: string;
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxInitializer[];
  inputs: readonly OnnxPort[];
  outputs: readonly OnnxPort[];
}

export interface OnnxModel extends OnnxGraph {
  doc: string;
}

/** Version of the standard operators that programs are written in, where they use none that is newer. */
export const OPSET = 21;

const newerOperators: Readonly<Record<string, number>> = { BitCast: 26, CumProd: 26 };

/** The version of the standard operators that a graph needs, with the graphs in it. */
export const opsetOf = ({ nodes }: Pick<OnnxGraph, "nodes">): number =>
  nodes.reduce((version, { op, attributes }) => {
    const inner = Object.values(attributes).map((value) => (isGraph(value) ? opsetOf(value.graph) : 0));
    return Math.max(version, newerOperators[op] ?? 0, ...inner);
  }, OPSET);

/** Whose operators a graph has beside ONNX's own, here or in an inner graph. */
const domainsOf = ({ nodes }: Pick<OnnxGraph, "nodes">): string[] =>
  nodes.flatMap(({ domain, attributes }) => [
    ...(domain ? [domain] : []),
    ...Object.values(attributes).flatMap((value) => (isGraph(value) ? domainsOf(value.graph) : [])),
  ]);

const isGraph = (value: Attribute): value is { readonly graph: OnnxGraph } =>
  typeof value === "object" && "graph" in value;

type Writer = protobuf.Writer;
const tag = (field: number, wireType: 0 | 2 | 5) => (field << 3) | wireType;
const message = (writer: Writer, field: number, body: (inner: Writer) => void) => {
  body(writer.uint32(tag(field, 2)).fork());
  writer.ldelim();
};
const text = (writer: Writer, field: number, value: string) => writer.uint32(tag(field, 2)).string(value);
const integer = (writer: Writer, field: number, value: number) => writer.uint32(tag(field, 0)).int64(value);

function writeAttribute(writer: Writer, name: string, value: Attribute) {
  text(writer, 1, name);
  if (typeof value === "number") {
    integer(writer, 3, value);
    integer(writer, 20, 2);
  } else if (typeof value === "string") {
    text(writer, 4, value);
    integer(writer, 20, 3);
  } else if ("float" in value) {
    writer.uint32(tag(2, 5)).float(value.float);
    integer(writer, 20, 1);
  } else if (isGraph(value)) {
    message(writer, 6, (graph) => writeGraph(graph, value.graph));
    integer(writer, 20, 5);
  } else {
    for (const entry of value) integer(writer, 8, entry);
    integer(writer, 20, 7);
  }
}

function writePort(writer: Writer, port: OnnxPort) {
  text(writer, 1, port.name);
  message(writer, 2, (type) =>
    message(type, 1, (tensor) => {
      integer(tensor, 1, dataTypes[port.dtype]);
      message(tensor, 2, (shape) => {
        for (const size of port.shape) {
          message(shape, 1, (dimension) =>
            typeof size === "number" ? integer(dimension, 1, size) : text(dimension, 2, size),
          );
        }
      });
    }),
  );
  if (port.doc) text(writer, 3, port.doc);
}

function writeGraph(graph: Writer, { name, nodes, initializers, inputs, outputs }: OnnxGraph, doc?: string) {
  for (const node of nodes) {
    message(graph, 1, (inner) => {
      for (const name of node.inputs) text(inner, 1, name);
      for (const name of node.outputs) text(inner, 2, name);
      text(inner, 4, node.op);
      if (node.domain) text(inner, 7, node.domain);
      for (const [name, value] of Object.entries(node.attributes)) {
        message(inner, 5, (attribute) => writeAttribute(attribute, name, value));
      }
    });
  }
  text(graph, 2, name);
  for (const initializer of initializers) {
    message(graph, 5, (tensor) => {
      for (const size of initializer.shape) integer(tensor, 1, size);
      integer(tensor, 2, dataTypes[initializer.dtype]);
      text(tensor, 8, initializer.name);
      tensor.uint32(tag(9, 2)).bytes(initializer.bytes);
    });
  }
  if (doc !== undefined) text(graph, 10, doc);
  for (const port of inputs) message(graph, 11, (inner) => writePort(inner, port));
  for (const port of outputs) message(graph, 12, (inner) => writePort(inner, port));
}

/** The model as an ONNX file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const writer = protobuf.Writer.create();
  integer(writer, 1, 10);
  text(writer, 2, "outgrow");
  message(writer, 7, (graph) => writeGraph(graph, model, model.doc));
  message(writer, 8, (opset) => {
    text(opset, 1, "");
    integer(opset, 2, opsetOf(model));
  });
  for (const domain of new Set(domainsOf(model))) {
    message(writer, 8, (opset) => {
      text(opset, 1, domain);
      integer(opset, 2, 1);
    });
  }
  return writer.finish();
}
