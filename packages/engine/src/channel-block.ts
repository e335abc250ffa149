import * as ort from "onnxruntime-node";
import { BLOCKED_DOMAIN } from "./lower/blocked-convolution.js";
import { encodeModel } from "./onnx/model.js";

let known: Promise<number> | undefined;

/**
 * How many channels ONNX Runtime's fast convolutions keep together on this processor: 8 or 16 on x86-64; 1 where it
 * has no such convolutions. Found by asking it to reorder four channels, which it fills up to one block.
 */
export function channelBlock(): Promise<number> {
  known ??= reordered().catch(() => 1);
  return known;
}

async function reordered(): Promise<number> {
  const shape = [1, 4, 1, 1];
  const model = encodeModel({
    name: "channel_block",
    doc: "",
    nodes: [{ op: "ReorderInput", domain: BLOCKED_DOMAIN, inputs: ["x"], outputs: ["y"], attributes: {} }],
    initializers: [],
    inputs: [{ name: "x", dtype: "float32", shape }],
    outputs: [{ name: "y", dtype: "float32", shape: [1, "block", 1, 1] }],
  });
  const session = await ort.InferenceSession.create(model, { executionProviders: ["cpu"] });
  try {
    const { y } = await session.run({ x: new ort.Tensor("float32", new Float32Array(4), shape) });
    return y.dims[1];
  } finally {
    await session.release();
  }
}
