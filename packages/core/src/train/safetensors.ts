import { readFile } from "node:fs/promises";
import { namedLeaves, Tensor, type TensorData, type Tree } from "@outgrow/engine";
import { UserError } from "../errors.js";
import { writeFileAtomic } from "../files.js";

// The format: the length of the header as a little-endian uint64; the header, JSON padded with spaces so that the data
// is aligned; the data, one tensor after another without gaps (https://huggingface.co/docs/safetensors).
const lengthBytes = 8;
const metadataName = "__metadata__";
/** As in the reference implementation. */
const maxHeaderBytes = 100_000_000;
const widths = { F64: 8, F32: 4, I32: 4, U32: 4, BOOL: 1, F16: 2, BF16: 2 };
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
  const entries: [string, Entry | Record<string, string>][] = [];
  if (Object.keys(metadata).length > 0) entries.push([metadataName, metadata]);
  let end = 0;
  for (const { name, tensor, dtype } of sorted) {
    if (name === metadataName) throw new TypeError(`A tensor cannot be named ${metadataName}.`);
    const start = end;
    end += tensor.data.byteLength;
    entries.push([name, { dtype, shape: [...tensor.shape], data_offsets: [start, end] }]);
  }
  // Not through an object: it would put names such as "0" first.
  const members = entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(lengthBytes + headerLength + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, lengthBytes);
  bytes.fill(0x20, lengthBytes + json.length, lengthBytes + headerLength);
  let at = lengthBytes + headerLength;
  for (const { tensor } of sorted) {
    const { buffer, byteOffset, byteLength } = tensor.data;
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return bytes;
}

/**
 * The tensors in the bytes of a safetensors file, which may come from anywhere: every number is checked before it is
 * used. F16 and BF16 become float32. Nothing is allocated that the file does not hold.
 *
 * @param name the file, for errors
 * @throws UserError naming the file and the tensor
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): Safetensors {
  const { entries, metadata, data } = readHeader(bytes, name);
  let end = 0;
  for (const [tensor, entry] of entries) {
    const wrong = problem(entry, end, data.length);
    if (wrong) throw damaged(name, `tensor ${quote(tensor)}: ${wrong}`);
    end = entry.data_offsets[1];
  }
  if (end !== data.length) {
    throw damaged(name, `the tensors take ${end} bytes, but ${data.length} bytes follow the header`);
  }
  const tensors = entries.map(([tensor, { dtype, shape, data_offsets }]): [string, Tensor] => {
    // A copy, because views need aligned offsets. Little-endian, like every machine that Node runs models on.
    const { buffer } = new Uint8Array(data.subarray(...data_offsets));
    const values = readers[dtype as keyof typeof widths](buffer);
    if (values instanceof Uint8Array && values.some((byte) => byte > 1)) {
      throw damaged(name, `tensor ${quote(tensor)}: booleans are bytes 0 and 1, but there are others`);
    }
    return [tensor, new Tensor(values, shape)];
  });
  return { tensors: Object.fromEntries(tensors), metadata };
}

/**
 * Writes a tree of tensors as a safetensors file, all or nothing. A tensor is named by its path in the tree, e.g.
 * `blocks.0.up.weight`.
 */
export async function saveCheckpoint(
  path: string,
  tree: object,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(Object.fromEntries(namedTensors(tree)), metadata));
}

/**
 * Reads what {@link saveCheckpoint} wrote into a tree of the same form as `like`.
 *
 * @throws UserError naming a tensor that is missing, not expected, or of another shape or type than in `like`
 */
export async function loadCheckpoint<T extends object>(
  path: string,
  like: T,
): Promise<{ tree: T; metadata: Record<string, string> }> {
  const bytes = await readFile(path).catch((cause) => {
    const missing = cause.code === "ENOENT" || cause.code === "ENOTDIR";
    throw new UserError(missing ? "there is no such file" : `could not be read: ${cause.message}`, {
      place: { file: path },
      hint: missing ? "Check the path." : undefined,
      exitCode: missing ? 2 : 1,
      cause,
    });
  });
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  const refuse = (message: string) =>
    new UserError(message, {
      place: { file: path },
      hint: "The file holds another model. Check the path and the model's configuration.",
    });
  const expected = namedTensors(like);
  const extra = Object.keys(tensors).find((name) => !expected.has(name));
  if (extra !== undefined) throw refuse(`tensor ${quote(extra)} is not one of the model's`);
  for (const [name, tensor] of expected) {
    if (!Object.hasOwn(tensors, name)) throw refuse(`tensor ${quote(name)} is missing`);
    const [given, wanted] = [describe(tensors[name]), describe(tensor)];
    if (given !== wanted) throw refuse(`tensor ${quote(name)} is ${given}, expected ${wanted}`);
  }
  return { tree: fill(like, tensors) as T, metadata };
}

function readHeader(bytes: Uint8Array, name: string) {
  if (bytes.length < lengthBytes) {
    throw damaged(name, `the file has ${bytes.length} bytes, expected at least ${lengthBytes}`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const most = Math.min(bytes.length - lengthBytes, maxHeaderBytes);
  if (length > BigInt(most)) {
    throw damaged(name, `the header is said to have ${length} bytes, expected at most ${most}`);
  }
  const dataStart = lengthBytes + Number(length);
  const header = bytes.subarray(lengthBytes, dataStart);
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
  return { entries, metadata, data: bytes.subarray(dataStart) };
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
  if (!Object.hasOwn(widths, dtype)) {
    return `the type is ${quote(dtype)}, expected one of ${Object.keys(widths).join(", ")}`;
  }
  if (start !== expected) return `starts at byte ${start} of the data, expected ${expected}`;
  if (end < start || end > available) return `ends at byte ${end} of the data, which has ${available}`;
  const size = shape.reduce((product, length) => product * length, widths[dtype as keyof typeof widths]);
  // A product that overflows is far from any length of data, or NaN.
  if (size !== end - start) return `needs ${size} bytes for its shape, but has ${end - start}`;
}

const readers: Record<keyof typeof widths, (buffer: ArrayBuffer) => TensorData> = {
  F64: (buffer) => new Float64Array(buffer),
  F32: (buffer) => new Float32Array(buffer),
  U32: (buffer) => new Uint32Array(buffer),
  I32: (buffer) => new Int32Array(buffer),
  BOOL: (buffer) => new Uint8Array(buffer),
  F16: (buffer) => fromHalf(new Uint16Array(buffer)),
  BF16: (buffer) => fromBrain(new Uint16Array(buffer)),
};

/** bfloat16, the upper half of a float32. */
function fromBrain(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves);
  halves.forEach((half, i) => {
    bits[i] = half << 16;
  });
  return new Float32Array(bits.buffer);
}

/** IEEE 754 binary16 to float32, exactly. */
function fromHalf(halves: Uint16Array): Float32Array {
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

export function namedTensors(tree: object): Map<string, Tensor> {
  const leaves = namedLeaves(tree as Tree<Tensor>, isTensor);
  const byName = new Map(leaves);
  if (byName.size < leaves.length)
    throw new TypeError("Two tensors have the same path: a key has a dot in it.");
  return byName;
}

/** The tree in which each tensor's path is its name, as {@link namedTensors} gives them. Numbers are places in arrays. */
export function treeOfTensors(tensors: Readonly<Record<string, Tensor>>): object {
  const root: Record<string, unknown> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const keys = name.split(".");
    let node = root;
    for (const key of keys.slice(0, -1)) {
      if (!Object.hasOwn(node, key)) node[key] = {};
      node = node[key] as Record<string, unknown>;
    }
    node[keys[keys.length - 1]] = tensor;
  }
  return withArrays(root) as object;
}

function withArrays(node: unknown): unknown {
  if (node instanceof Tensor) return node;
  const entries = Object.entries(node as object).map(([key, child]) => [key, withArrays(child)] as const);
  const isArray = entries.length > 0 && entries.every(([key], i) => key === String(i));
  return isArray ? entries.map(([, child]) => child) : Object.fromEntries(entries);
}

/** The tree `like` with the tensors of those names in it. */
function fill(like: object, tensors: Record<string, Tensor>, path: string[] = []): unknown {
  if (isTensor(like)) return tensors[path.join(".")];
  const filled = Object.entries(like).map(([key, child]) => [key, fill(child, tensors, [...path, key])]);
  return Array.isArray(like) ? filled.map(([, child]) => child) : Object.fromEntries(filled);
}

function isTensor(node: unknown): node is Tensor {
  if (typeof node === "object" && node !== null) return node instanceof Tensor;
  throw new TypeError(`A checkpoint is a tree of tensors, but ${node} is in it.`);
}

const describe = ({ dtype, shape }: Tensor) => `${dtype} [${shape.join(", ")}]`;

const quote = (value: unknown) => JSON.stringify(value).slice(0, 100);

function damaged(file: string, message: string, cause?: unknown): UserError {
  return new UserError(message, {
    place: { file },
    hint: "The file is damaged or not in the safetensors format. Fetch or write it again.",
    cause,
  });
}
