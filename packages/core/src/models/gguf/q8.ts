import { halfBits } from "@outgrow/engine";
import { fromHalf } from "../safetensors.js";

const block = 32;
const blockBytes = 34;

/** Numbers as ggml's Q8_0: of each 32 the largest is 127 times a float16, and the others whole multiples of it. */
export function toQ8(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array((values.length / block) * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i * block < values.length; i++) {
    const part = values.subarray(i * block, (i + 1) * block);
    const largest = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const step = Math.fround(largest / 127);
    view.setUint16(i * blockBytes, halfBits([step])[0], true);
    // By the step before it is rounded, as ggml does. Halves away from zero, as C's roundf.
    part.forEach((value, j) => {
      const steps = step === 0 ? 0 : value / step;
      view.setInt8(i * blockBytes + 2 + j, Math.sign(steps) * Math.round(Math.abs(steps)));
    });
  }
  return bytes;
}

export function fromQ8(bytes: Uint8Array): Float32Array {
  const blocks = bytes.length / blockBytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps = fromHalf(
    Uint16Array.from({ length: blocks }, (_, i) => view.getUint16(i * blockBytes, true)),
  );
  const values = new Float32Array(blocks * block);
  for (let i = 0; i < blocks; i++) {
    for (let j = 0; j < block; j++) values[i * block + j] = steps[i] * view.getInt8(i * blockBytes + 2 + j);
  }
  return values;
}
