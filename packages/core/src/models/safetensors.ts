import { type FileHandle, open } from "node:fs/promises";
import { halfBits, Tensor, type TensorData } from "@outgrow/engine";
import { UserError } from "../errors.js";

// The format: the length of the header as a little-endian uint64; the header, JSON padded with spaces so that the data
// is aligned; the data, one tensor after another without gaps (https://huggingface.co/docs/safetensors).
const lengthBytes = 8;
const metadataName = "__metadata__";
/** As in the reference implementation. */
const maxHeaderBytes = 100_000_000;
const widths = { F64: 8, F32: 4, I32: 4, U32: 4, BOOL: 1, F16: 2, BF16: 2 };
/** Types that files may hold beside those that are read. */
const otherWidths = { I64: 8, U64: 8, I16: 2, U16: 2, I8: 1, U8: 1, F8_E4M3: 1, F8_E5M2: 1 };
const allWidths: Readonly<Record<string, number>> = { ...widths, ...otherWidths };
const names = {
  float64: "F64",
  float32: "F32",
  int32: "I32",
  uint32: "U32",
  float16: "F16",
  bool: "BOOL",
} as const;
/** Wide types first, which keeps all data aligned. */
const order: readonly string[] = Object.values(names);

interface Entry {
  dtype: string;
  shape: number[];
  /** From where to before where, counted from the end of the header. */
  data_offsets: [number, number];
}

type Entries = [name: string, entry: Entry][];

export interface Safetensors {
  tensors: Record<string, Tensor>;
  metadata: Record<string, string>;
}

/** Tensors as the bytes of a safetensors file: the same for the same tensors, in whatever order they are given. */
export function encodeSafetensors(
  tensors: Record<string, Tensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const sorted = Object.entries(tensors)
    .map(([name, tensor]) => ({ name, tensor, dtype: names[tensor.dtype] }))
    .sort((a, b) => order.indexOf(a.dtype) - order.indexOf(b.dtype) || (a.name < b.name ? -1 : 1));
  const { header, dataBytes } = encodeHeader(
    sorted.map(({ name, tensor, dtype }) => ({ name, dtype, shape: tensor.shape })),
    metadata,
  );
  const bytes = new Uint8Array(header.length + dataBytes);
  bytes.set(header);
  let at = header.length;
  for (const { tensor } of sorted) {
    bytes.set(bytesOf(tensor.data), at);
    at += tensor.data.byteLength;
  }
  return bytes;
}

/** The length and the header of a file that holds these tensors one after another. */
function encodeHeader(
  tensors: readonly { name: string; dtype: string; shape: readonly number[] }[],
  metadata: Record<string, string>,
): { header: Uint8Array; dataBytes: number } {
  const entries: [string, object][] = [];
  if (Object.keys(metadata).length > 0) entries.push([metadataName, metadata]);
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    if (name === metadataName) throw new TypeError(`A tensor cannot be named ${metadataName}.`);
    const start = end;
    end += sizeOf(shape, allWidths[dtype]);
    entries.push([name, { dtype, shape, data_offsets: [start, end] }]);
  }
  // Not through an object: it would put names such as "0" first.
  const members = entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(lengthBytes + headerLength);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerLength), true);
  header.set(json, lengthBytes);
  header.fill(0x20, lengthBytes + json.length);
  return { header, dataBytes: end };
}

/** How weights may be stored. */
export const storedTypes = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;
export type StoredType = keyof typeof storedTypes;

/** A tensor that is made when its turn comes to be written. */
export interface PendingTensor {
  name: string;
  shape: readonly number[];
  values(): Float32Array;
}

/**
 * Writes weights to a new file, one tensor at a time, so that no second copy of a model is in memory.
 *
 * @throws UserError naming a tensor with a number too large for float16
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly PendingTensor[],
  dtype: StoredType,
  metadata: Record<string, string>,
): Promise<void> {
  const type = storedTypes[dtype];
  const { header } = encodeHeader(
    tensors.map(({ name, shape }) => ({ name, shape, dtype: type })),
    metadata,
  );
  const file = await open(path, "wx");
  try {
    await writeAll(file, header);
    for (const { name, values } of tensors) await writeAll(file, storedBytes(values(), dtype, name));
  } finally {
    await file.close();
  }
}

/** float32 numbers in another type: rounded to nearest, ties to even. @param name the tensor's, for errors */
export function storedBytes(values: Float32Array, dtype: StoredType, name: string): Uint8Array {
  if (dtype === "float32") return bytesOf(values);
  if (dtype === "bfloat16") return bytesOf(toBrain(values));
  const large = values.find((value) => Number.isFinite(value) && Math.abs(value) >= 65_520);
  if (large !== undefined) {
    throw new UserError(`tensor ${quote(name)} holds ${large}, but float16 ends at 65504`, {
      hint: "Store it as bfloat16 or float32.",
    });
  }
  return bytesOf(halfBits(values));
}

/**
 * The tensors in the bytes of a safetensors file, which may come from anywhere: every number is checked before it is
 * used. F16 and BF16 become float32. Nothing is allocated that the file does not hold.
 *
 * @param name the file, for errors
 * @throws UserError naming the file and the tensor
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const dataStart = lengthBytes + headerLength(bytes.subarray(0, lengthBytes), bytes.length, name);
  const data = bytes.subarray(dataStart);
  const { entries, metadata } = parseHeader(bytes.subarray(lengthBytes, dataStart), data.length, name);
  const tensors = entries.map(([tensor, entry]): [string, Tensor] => {
    // A copy, because views need aligned offsets.
    const { buffer } = new Uint8Array(data.subarray(...entry.data_offsets));
    return [tensor, toTensor(buffer, entry, tensor, name)];
  });
  return { tensors: Object.fromEntries(tensors), metadata };
}

/** A safetensors file whose tensors are read when they are asked for. */
export interface SafetensorsFile {
  path: string;
  /** Types as in the file, e.g. `BF16`. */
  tensors: ReadonlyMap<string, { dtype: string; shape: readonly number[] }>;
  metadata: Record<string, string>;
  /**
   * F16 and BF16 become float32.
   *
   * @throws UserError for a type that is not read here
   */
  read(name: string): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file, which may come from anywhere: the header is checked as {@link decodeSafetensors} does.
 *
 * @throws UserError naming the file and the tensor
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  try {
    const { size } = await file.stat();
    const length = headerLength(await readPart(file, 0, Math.min(lengthBytes, size), path), size, path);
    const dataStart = lengthBytes + length;
    const header = await readPart(file, lengthBytes, length, path);
    const { entries, metadata } = parseHeader(header, size - dataStart, path);
    const byName = new Map(entries);
    return {
      path,
      tensors: byName,
      metadata,
      async read(name) {
        const entry = byName.get(name);
        if (!entry) throw new TypeError(`There is no tensor ${quote(name)} in ${path}.`);
        const [start, end] = entry.data_offsets;
        const { buffer } = await readPart(file, dataStart + start, end - start, path);
        return toTensor(buffer, entry, name, path);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error instanceof UserError ? error : unreadable(path, error as NodeJS.ErrnoException);
  }
}

function unreadable(path: string, cause: NodeJS.ErrnoException): UserError {
  const missing = cause.code === "ENOENT" || cause.code === "ENOTDIR";
  return new UserError(missing ? "there is no such file" : `could not be read: ${cause.message}`, {
    place: { file: path },
    hint: missing ? "Check the path." : undefined,
    exitCode: missing ? 2 : 1,
    cause,
  });
}

/** Node reads and writes at most 2 GiB at a time. */
const chunkBytes = 2 ** 30;

/** Part of a file, in memory of its own. */
export async function readPart(
  file: FileHandle,
  start: number,
  length: number,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(chunkBytes, length - at), start + at);
    if (bytesRead === 0) throw damaged(path, `the file ends at byte ${start + at} while it is read`);
    at += bytesRead;
  }
  return bytes;
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, Math.min(chunkBytes, bytes.length - at));
    at += bytesWritten;
  }
}

/** @param start the first bytes of the file, of `size` bytes in all */
function headerLength(start: Uint8Array, size: number, name: string): number {
  if (size < lengthBytes) {
    throw damaged(name, `the file has ${size} bytes, expected at least ${lengthBytes}`);
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  const most = Math.min(size - lengthBytes, maxHeaderBytes);
  if (length > BigInt(most)) {
    throw damaged(name, `the header is said to have ${length} bytes, expected at most ${most}`);
  }
  return Number(length);
}

/** The entries of a header in the order of their data, which they fill. */
function parseHeader(header: Uint8Array, dataBytes: number, name: string) {
  const parsed = parseObject(header, name);
  const { [metadataName]: metadata = {}, ...rest } = parsed;
  if (!isTexts(metadata)) throw damaged(name, "the metadata are not texts by name");
  const entries = Object.entries(rest).map(([tensor, entry]): [string, Entry] => {
    if (isEntry(entry)) return [tensor, entry];
    const expected = '{"dtype": TEXT, "shape": [COUNTS], "data_offsets": [START, END]}';
    throw damaged(name, `tensor ${quote(tensor)}: expected ${expected} and nothing else`);
  });
  const pairs = Object.keys(parsed).length + Object.keys(metadata).length + 3 * entries.length;
  if (countPairs(header) !== pairs) throw damaged(name, "a name occurs twice in the header");
  // An empty tensor shares its offset with the next one.
  entries.sort(([, { data_offsets: a }], [, { data_offsets: b }]) => a[0] - b[0] || a[1] - b[1]);
  checkExtents(entries, dataBytes, name);
  return { entries, metadata };
}

function checkExtents(entries: Entries, dataBytes: number, name: string): void {
  let end = 0;
  for (const [tensor, entry] of entries) {
    const wrong = problem(entry, end, dataBytes);
    if (wrong) throw damaged(name, `tensor ${quote(tensor)}: ${wrong}`);
    end = entry.data_offsets[1];
  }
  if (end !== dataBytes) {
    throw damaged(name, `the tensors take ${end} bytes, but ${dataBytes} bytes follow the header`);
  }
}

function parseObject(header: Uint8Array, name: string): Record<string, unknown> {
  if (header[0] !== 0x7b) throw damaged(name, "the header does not begin with {");
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (cause) {
    throw damaged(name, "the header is not valid JSON in UTF-8", cause);
  }
}

/** How many `name: value` pairs are in valid JSON, which `JSON.parse` does not tell where a name occurs twice. */
function countPairs(json: Uint8Array): number {
  let pairs = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    if (json[i] === 0x22) inText = !inText;
    else if (inText && json[i] === 0x5c) i++;
    else if (!inText && json[i] === 0x3a) pairs++;
  }
  return pairs;
}

/** What is wrong with an entry whose data should start at `expected`. */
function problem({ dtype, shape, data_offsets: [start, end] }: Entry, expected: number, available: number) {
  if (!Object.hasOwn(allWidths, dtype)) return unreadableType(dtype);
  if (start !== expected) return `starts at byte ${start} of the data, expected ${expected}`;
  if (end < start || end > available) return `ends at byte ${end} of the data, which has ${available}`;
  const size = sizeOf(shape, allWidths[dtype]);
  // A product that overflows is far from any length of data, or NaN.
  if (size !== end - start) return `needs ${size} bytes for its shape, but has ${end - start}`;
}

const sizeOf = (shape: readonly number[], width: number) =>
  shape.reduce((product, length) => product * length, width);

const unreadableType = (dtype: string) =>
  `the type is ${quote(dtype)}, expected one of ${Object.keys(widths).join(", ")}`;

/** Little-endian, like every machine that Node runs models on. */
const readers: Record<keyof typeof widths, (buffer: ArrayBuffer) => TensorData> = {
  F64: (buffer) => new Float64Array(buffer),
  F32: (buffer) => new Float32Array(buffer),
  U32: (buffer) => new Uint32Array(buffer),
  I32: (buffer) => new Int32Array(buffer),
  BOOL: (buffer) => new Uint8Array(buffer),
  F16: (buffer) => fromHalf(new Uint16Array(buffer)),
  BF16: (buffer) => fromBrain(new Uint16Array(buffer)),
};

function toTensor(buffer: ArrayBuffer, { dtype, shape }: Entry, tensor: string, name: string): Tensor {
  if (!Object.hasOwn(readers, dtype)) {
    throw damaged(name, `tensor ${quote(tensor)}: ${unreadableType(dtype)}`);
  }
  const values = readers[dtype as keyof typeof widths](buffer);
  if (values instanceof Uint8Array && values.some((byte) => byte > 1)) {
    throw damaged(name, `tensor ${quote(tensor)}: booleans are bytes 0 and 1, but there are others`);
  }
  return new Tensor(values, shape);
}

/** bfloat16, the upper half of a float32. */
export function fromBrain(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves);
  halves.forEach((half, i) => {
    bits[i] = half << 16;
  });
  return new Float32Array(bits.buffer);
}

function toBrain(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (bit, i) => {
    // Rounding could make infinity of a NaN.
    if (Number.isNaN(values[i])) return (bit >>> 16) | 0x40;
    return (bit + 0x7fff + ((bit >>> 16) & 1)) >>> 16;
  });
}

/** IEEE 754 binary16 to float32, exactly. */
export function fromHalf(halves: Uint16Array): Float32Array {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  halves.forEach((half, i) => {
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    // All ones mean infinity or NaN in both; otherwise the exponents' biases differ by 127 - 15.
    if ((half & 0x7c00) === 0x7c00) bits[i] |= 0x7f800000;
    else values[i] *= 2 ** 112;
  });
  return values;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: TensorData) =>
  new Uint8Array(buffer, byteOffset, byteLength);

const isEntry = (value: unknown): value is Entry => {
  if (!isObject(value) || Object.keys(value).length !== 3) return false;
  const { dtype, shape, data_offsets } = value;
  return typeof dtype === "string" && isCounts(shape) && isCounts(data_offsets) && data_offsets.length === 2;
};

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

const isTexts = (value: unknown): value is Record<string, string> =>
  isObject(value) && Object.values(value).every((item) => typeof item === "string");

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const quote = (value: unknown) => JSON.stringify(value).slice(0, 100);

function damaged(file: string, message: string, cause?: unknown): UserError {
  return new UserError(message, {
    place: { file },
    hint: "The file is damaged or not in the safetensors format. Fetch or write it again.",
    cause,
  });
}
