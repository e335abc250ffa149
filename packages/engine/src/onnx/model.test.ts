import * as jax from "@jax-js/jax";
import * as ort from "onnxruntime-node";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { compile, compileStep } from "../compile.js";
import { Tensor } from "../tensor.js";
import { dataTypes, encodeModel, type OnnxModel, OPSET } from "./model.js";

const { numpy: np, nn } = jax;

// The part of onnx.proto3 that programs use, as its authors wrote it.
const schema = `
syntax = "proto3";
package onnx;
message AttributeProto {
  enum AttributeType { UNDEFINED = 0; FLOAT = 1; INT = 2; STRING = 3; TENSOR = 4; GRAPH = 5; FLOATS = 6; INTS = 7; }
  string name = 1;
  string doc_string = 13;
  AttributeType type = 20;
  float f = 2;
  int64 i = 3;
  bytes s = 4;
  repeated float floats = 7;
  repeated int64 ints = 8;
}
message ValueInfoProto { string name = 1; TypeProto type = 2; string doc_string = 3; }
message NodeProto {
  repeated string input = 1;
  repeated string output = 2;
  string name = 3;
  string op_type = 4;
  string domain = 7;
  repeated AttributeProto attribute = 5;
  string doc_string = 6;
}
message ModelProto {
  int64 ir_version = 1;
  repeated OperatorSetIdProto opset_import = 8;
  string producer_name = 2;
  string producer_version = 3;
  string domain = 4;
  int64 model_version = 5;
  string doc_string = 6;
  GraphProto graph = 7;
}
message GraphProto {
  repeated NodeProto node = 1;
  string name = 2;
  repeated TensorProto initializer = 5;
  string doc_string = 10;
  repeated ValueInfoProto input = 11;
  repeated ValueInfoProto output = 12;
  repeated ValueInfoProto value_info = 13;
}
message TensorProto {
  repeated int64 dims = 1;
  int32 data_type = 2;
  repeated float float_data = 4 [packed = true];
  repeated int32 int32_data = 5 [packed = true];
  repeated int64 int64_data = 7 [packed = true];
  string name = 8;
  string doc_string = 12;
  bytes raw_data = 9;
}
message TensorShapeProto {
  message Dimension { oneof value { int64 dim_value = 1; string dim_param = 2; } string denotation = 3; }
  repeated Dimension dim = 1;
}
message TypeProto {
  message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; }
  oneof value { Tensor tensor_type = 1; }
}
message OperatorSetIdProto { string domain = 1; int64 version = 2; }
`;

interface Port {
  name: string;
  docString: string;
  type: { tensorType: { elemType: number; shape: { dim: { dimValue: number }[] } } };
}
interface Model {
  irVersion: number;
  producerName: string;
  opsetImport: { domain: string; version: number }[];
  graph: {
    name: string;
    docString: string;
    node: {
      input: string[];
      output: string[];
      opType: string;
      domain: string;
      attribute: { name: string; type: number; f: number; i: number; s: Uint8Array; ints: number[] }[];
    }[];
    initializer: { name: string; dims: number[]; dataType: number; rawData: Uint8Array }[];
    input: Port[];
    output: Port[];
  };
}

const type = protobuf.parse(schema).root.lookupType("onnx.ModelProto");

const decode = (bytes: Uint8Array): Model =>
  type.toObject(type.decode(bytes), { longs: Number, arrays: true, defaults: true }) as Model;

const port = ({ name, docString, type }: Port) => ({
  name,
  docString,
  type: type.tensorType.elemType,
  shape: type.tensorType.shape.dim.map((dimension) => dimension.dimValue),
});

describe("encodeModel", () => {
  it("writes what an independent reader of the format reads back", () => {
    const model: OnnxModel = {
      name: "näme",
      doc: "what it is",
      nodes: [
        {
          op: "Foo",
          inputs: ["x", "w"],
          outputs: ["y", "z"],
          attributes: { perm: [1, 0, -1], axis: -2, alpha: { float: 0.5 }, mode: "constant", none: [] },
        },
      ],
      initializers: [
        {
          name: "w",
          dtype: "int64",
          shape: [2],
          bytes: new Uint8Array(BigInt64Array.of(-1n, 2n ** 40n).buffer),
        },
        { name: "s", dtype: "bool", shape: [], bytes: Uint8Array.of(1) },
      ],
      inputs: [{ name: "x", dtype: "float32", shape: [2, 300], doc: "argument 0.x" }],
      outputs: [
        { name: "y", dtype: "bool", shape: [] },
        { name: "z", dtype: "int32", shape: [1], doc: "leaf" },
      ],
    };
    const { graph, ...rest } = decode(encodeModel(model));
    expect([rest.irVersion, rest.producerName, rest.opsetImport]).toEqual([
      10,
      "outgrow",
      [{ domain: "", version: OPSET }],
    ]);
    expect([graph.name, graph.docString]).toEqual(["näme", "what it is"]);
    const [{ attribute, ...node }] = graph.node;
    expect(node).toMatchObject({ input: ["x", "w"], output: ["y", "z"], opType: "Foo", domain: "" });
    expect(attribute.map(({ name, type }) => [name, type])).toEqual([
      ["perm", 7],
      ["axis", 2],
      ["alpha", 1],
      ["mode", 3],
      ["none", 7],
    ]);
    expect([attribute[0].ints, attribute[1].i, attribute[2].f]).toEqual([[1, 0, -1], -2, 0.5]);
    expect(Buffer.from(attribute[3].s).toString()).toBe("constant");
    expect(graph.initializer.map(({ name, dims, dataType }) => [name, dims, dataType])).toEqual([
      ["w", [2], dataTypes.int64],
      ["s", [], dataTypes.bool],
    ]);
    const numbers = Uint8Array.from(graph.initializer[0].rawData).buffer;
    expect([...new BigInt64Array(numbers)]).toEqual([-1n, 2n ** 40n]);
    expect(graph.input.map(port)).toEqual([
      { name: "x", docString: "argument 0.x", type: dataTypes.float32, shape: [2, 300] },
    ]);
    expect(graph.output.map(port)).toEqual([
      { name: "y", docString: "", type: dataTypes.bool, shape: [] },
      { name: "z", docString: "leaf", type: dataTypes.int32, shape: [1] },
    ]);
  });
});

describe("toOnnx", () => {
  const tokens = new Tensor(Int32Array.of(1, 0, 4, 4, 2, 3), [2, 3]);
  const params = {
    embedding: new Tensor(
      Float32Array.from({ length: 20 }, (_, i) => Math.sin(i)),
      [5, 4],
    ),
    out: new Tensor(
      Float32Array.from({ length: 20 }, (_, i) => Math.cos(i)),
      [4, 5],
    ),
  };
  type Params = { embedding: jax.Array; out: jax.Array };
  const loss = (p: Params, tokens: jax.Array) => {
    const hidden = nn.standardize(nn.gelu(np.take(p.embedding, tokens, 0)));
    const logProbs = nn.logSoftmax(np.matmul(hidden, p.out), -1);
    return np
      .takeAlongAxis(logProbs, tokens.reshape([2, 3, 1]), -1)
      .mean()
      .neg();
  };
  const gradient = (p: Params, tokens: jax.Array) => jax.valueAndGrad(loss)(p, tokens);

  it("is a file of standard operators that gives the same bits in a session of its own", async () => {
    const program = await compile(gradient, [params, tokens], { name: "loss and gradient" });
    const bytes = program.toOnnx();
    const model = decode(bytes);
    expect(model.graph.name).toBe("loss and gradient");
    expect(model.opsetImport).toEqual([{ domain: "", version: OPSET }]);
    expect(new Set(model.graph.node.map((node) => node.domain))).toEqual(new Set([""]));
    expect(model.graph.input.map(port)).toEqual([
      { name: "embedding", docString: "argument 0.embedding", type: dataTypes.float32, shape: [5, 4] },
      { name: "out", docString: "argument 0.out", type: dataTypes.float32, shape: [4, 5] },
      { name: "in2", docString: "argument 1", type: dataTypes.int32, shape: [2, 3] },
    ]);
    expect(model.graph.output.map(port).map(({ shape }) => shape)).toEqual([[], [5, 4], [4, 5]]);

    const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
    const feed = (tensor: Tensor) => new ort.Tensor(tensor.dtype, tensor.data, tensor.shape);
    const found = await session.run({
      embedding: feed(params.embedding),
      out: feed(params.out),
      in2: feed(tokens),
    });
    const [value, gradients] = await program.run(params, tokens);
    expect(found.out0.data).toEqual(value.data);
    expect(found.out1.data).toEqual(gradients.embedding.data);
    expect(found.out2.data).toEqual(gradients.out.data);
    await session.release();
    await program.dispose();
  });

  it("asks for newer operators only where it has some", () => {
    const node = (op: string) => ({ op, inputs: ["x"], outputs: ["y"], attributes: {} });
    const versionOf = (...ops: string[]) => {
      const model = { name: "", doc: "", nodes: ops.map(node), initializers: [], inputs: [], outputs: [] };
      return Number(decode(encodeModel(model)).opsetImport[0].version);
    };
    expect([versionOf(), versionOf("Add"), versionOf("Add", "BitCast")]).toEqual([OPSET, OPSET, 26]);
  });

  it("names inputs by their place and outputs as asked, and no two tensors alike", async () => {
    const pair = { w: new Tensor(Float32Array.of(1, 2)), v1: new Tensor(Float32Array.of(3, 4)) };
    const program = await compile(
      (a: { w: jax.Array; v1: jax.Array }, b: { logits: jax.Array }, c: { w: jax.Array }) => [
        a.w.mul(a.v1).add(b.logits),
        c.w,
      ],
      [pair, { logits: pair.w }, { w: pair.v1 }],
      { outputNames: ["logits", "copied"] },
    );
    const { graph } = decode(program.toOnnx());
    expect(graph.input.map(({ name }) => name)).toEqual(["in0", "in1", "in2", "in3"]);
    expect(graph.output.map(({ name }) => name)).toEqual(["logits", "copied"]);
    const [sum, copied] = await program.run({ v1: pair.v1, w: pair.w }, { logits: pair.w }, { w: pair.v1 });
    expect([[...sum.data], [...copied.data]]).toEqual([
      [4, 10],
      [3, 4],
    ]);
  });

  it("has no node or constant that the result does not need, and every name once", async () => {
    const program = await compileStep(
      (carry: jax.Array, x: jax.Array) => {
        np.exp(x.mul(np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4])));
        return [carry.add(x), np.sin(x)] as const;
      },
      [new Tensor(new Float32Array(20)), new Tensor(new Float32Array(20))],
    );
    const { graph } = decode(program.toOnnx());
    expect(graph.node.map((node) => node.opType).sort()).toEqual(["Add", "Sin"]);
    expect(graph.initializer).toEqual([]);
    const names = [...graph.node.flatMap((node) => node.output), ...graph.input.map(({ name }) => name)];
    expect(new Set(names).size).toBe(names.length);
    expect(graph.output.map(({ name, docString }) => [name, docString])).toEqual([
      ["out0", "leaf 0 of the result"],
      ["out1", "leaf 1 of the result"],
    ]);
  });
});
