import { open } from "node:fs/promises";
import { UserError } from "../../errors.js";
import { type PendingTensor, type StoredType, storedBytes, writeAll } from "../safetensors.js";
import {
  aligned,
  bytesOfTensor,
  defaultAlignment,
  type GgufType,
  magic,
  maxAxes,
  tensorTypes,
  valueTypes,
  version,
} from "./format.js";
import { toQ8 } from "./q8.js";

export type Metadata =
  | { uint32: number }
  | { float32: number }
  | { bool: boolean }
  | { string: string }
  | { strings: readonly string[] }
  | { int32s: readonly number[] };

export interface GgufTensor extends PendingTensor {
  type: GgufType;
}

/** Writes a new GGUF file, one tensor at a time, so that no second copy of a model is in memory. */
export async function writeGguf(
  path: string,
  metadata: readonly (readonly [key: string, value: Metadata])[],
  tensors: readonly GgufTensor[],
): Promise<void> {
  const header = new Bytes();
  header.uint32(magic);
  header.uint32(version);
  header.uint64(tensors.length);
  header.uint64(metadata.length);
  for (const [key, value] of metadata) {
    header.string(key);
    header.metadata(value);
  }
  let end = 0;
  for (const { name, shape, type } of tensors) {
    const bytes = bytesOfTensor(type, shape);
    if (!Number.isSafeInteger(bytes) || shape.length > maxAxes) {
      throw new TypeError(`A tensor [${shape}] of type ${type} cannot be stored as GGUF.`);
    }
    header.string(name);
    header.uint32(shape.length);
    for (const length of shape.toReversed()) header.uint64(length);
    header.uint32(tensorTypes[type].number);
    header.uint64(end);
    end = aligned(end + bytes, defaultAlignment);
  }
  const padding = (bytes: number) => new Uint8Array(aligned(bytes, defaultAlignment) - bytes);
  const file = await open(path, "wx");
  try {
    const written = header.take();
    await writeAll(file, written);
    await writeAll(file, padding(written.length));
    for (const tensor of tensors) {
      const bytes = encode(tensor);
      await writeAll(file, bytes);
      await writeAll(file, padding(bytes.length));
    }
  } finally {
    await file.close();
  }
}

const stored: Record<Exclude<GgufType, "Q8_0">, StoredType> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

function encode({ name, type, values }: GgufTensor): Uint8Array {
  const data = values();
  if (type !== "Q8_0") return storedBytes(data, stored[type], name);
  const bad = data.find((value) => !(Math.abs(value) < 8e6));
  if (bad === undefined) return toQ8(data);
  throw new UserError(`tensor "${name}" holds ${bad}, which Q8_0 cannot hold`, {
    hint: "Store the model as float32.",
  });
}

/** Bytes that grow. */
class Bytes {
  private bytes = new Uint8Array(2 ** 16);
  private length = 0;

  take(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  uint32(value: number): void {
    this.view(4).setUint32(0, value, true);
  }

  uint64(value: number): void {
    this.view(8).setBigUint64(0, BigInt(value), true);
  }

  string(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.uint64(encoded.length);
    const { byteOffset } = this.view(encoded.length);
    this.bytes.set(encoded, byteOffset);
  }

  metadata(value: Metadata): void {
    if ("uint32" in value) {
      this.uint32(valueTypes.uint32);
      this.uint32(value.uint32);
    } else if ("float32" in value) {
      this.uint32(valueTypes.float32);
      this.view(4).setFloat32(0, value.float32, true);
    } else if ("bool" in value) {
      this.uint32(valueTypes.bool);
      this.view(1).setUint8(0, value.bool ? 1 : 0);
    } else if ("string" in value) {
      this.uint32(valueTypes.string);
      this.string(value.string);
    } else {
      this.uint32(valueTypes.array);
      if ("strings" in value) {
        this.uint32(valueTypes.string);
        this.uint64(value.strings.length);
        for (const text of value.strings) this.string(text);
      } else {
        this.uint32(valueTypes.int32);
        this.uint64(value.int32s.length);
        for (const number of value.int32s) this.view(4).setInt32(0, number, true);
      }
    }
  }

  /** The next bytes, to be written to. */
  private view(count: number): DataView {
    const start = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(2 * this.length);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    return new DataView(this.bytes.buffer, start, count);
  }
}
