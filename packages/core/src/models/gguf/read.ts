import { open } from "node:fs/promises";
import { Tensor } from "@outgrow/engine";
import { UserError } from "../../errors.js";
import { fromBrain, fromHalf, readPart } from "../safetensors.js";
import {
  aligned,
  alignmentKey,
  bytesOfTensor,
  defaultAlignment,
  type GgufType,
  magic,
  maxAxes,
  tensorTypes,
  valueTypes,
  version,
} from "./format.js";
import { fromQ8 } from "./q8.js";

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** 64-bit numbers are bigints where they are beyond what doubles hold exactly. */
export type MetadataValue = number | bigint | boolean | string | boolean[] | string[] | NumberArray;

export interface GgufFile {
  path: string;
  metadata: ReadonlyMap<string, MetadataValue>;
  tensors: ReadonlyMap<string, { type: GgufType; shape: readonly number[] }>;
  /** As float32. */
  read(name: string): Promise<Tensor>;
  close(): Promise<void>;
}

const firstHeaderBytes = 2 ** 20;
/** Headers of models with very large vocabularies take some 10 MB. */
const maxHeaderBytes = 2 ** 29;

/**
 * Opens a GGUF file, which may come from anywhere: every number is checked before it is used, and nothing is allocated
 * that the file does not hold.
 *
 * @throws UserError naming the file, and the entry or tensor that is wrong
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await open(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  try {
    const { size } = await file.stat();
    const part = (start: number, length: number) => readPart(file, start, length, path);
    return await read({ size, part, close: () => file.close() }, path);
  } catch (error) {
    await file.close();
    throw error instanceof UserError ? error : unreadable(path, error as NodeJS.ErrnoException);
  }
}

/** As {@link openGguf}, of bytes in memory. @param name the file, for errors */
export function decodeGguf(bytes: Uint8Array, name: string): Promise<GgufFile> {
  const part = async (start: number, length: number) => new Uint8Array(bytes.subarray(start, start + length));
  return read({ size: bytes.length, part, close: async () => {} }, name);
}

interface Source {
  size: number;
  /** Bytes in memory of their own. */
  part(start: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

async function read({ size, part, close }: Source, path: string): Promise<GgufFile> {
  // How long the header is stands nowhere: read more until it is whole.
  const most = Math.min(size, maxHeaderBytes);
  let header: Header | undefined;
  for (let length = Math.min(most, firstHeaderBytes); ; length = Math.min(most, 4 * length)) {
    try {
      header = parseHeader(await part(0, length), path);
      break;
    } catch (error) {
      if (!(error instanceof EndOfBytes)) throw error;
      if (length === most) throw damaged(path, `the file ends within ${error.what}`);
    }
  }
  const { metadata, tensors, dataStart } = header;
  checkExtents(tensors, size - dataStart, path);
  return {
    path,
    metadata,
    tensors,
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw new TypeError(`There is no tensor ${quote(name)} in ${path}.`);
      const { type, shape, offset } = tensor;
      return new Tensor(readers[type](await part(dataStart + offset, bytesOfTensor(type, shape))), shape);
    },
    close,
  };
}

const readers: Record<GgufType, (bytes: Uint8Array<ArrayBuffer>) => Float32Array> = {
  F32: ({ buffer }) => new Float32Array(buffer),
  F16: ({ buffer }) => fromHalf(new Uint16Array(buffer)),
  BF16: ({ buffer }) => fromBrain(new Uint16Array(buffer)),
  Q8_0: fromQ8,
};

interface Entry {
  type: GgufType;
  shape: number[];
  /** From the start of the data. */
  offset: number;
}

interface Header {
  metadata: Map<string, MetadataValue>;
  tensors: Map<string, Entry>;
  /** Where the data begin; at most the end of the file where there are none. */
  dataStart: number;
}

/** @throws EndOfBytes where the header is longer than the bytes */
function parseHeader(bytes: Uint8Array<ArrayBuffer>, path: string): Header {
  const cursor = new Cursor(bytes, path);
  cursor.what = "the first numbers";
  if (cursor.uint32() !== magic) throw damaged(path, 'does not begin with "GGUF"');
  const given = cursor.uint32();
  if (given !== version && given !== 2) {
    throw damaged(path, `is of version ${given} of GGUF, expected ${version} or 2`);
  }
  const [tensorCount, entryCount] = [cursor.length(), cursor.length()];
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < entryCount; i++) {
    cursor.what = `entry ${i + 1} of ${entryCount} of the metadata`;
    const key = cursor.string();
    if (metadata.has(key)) throw damaged(path, `the metadata ${quote(key)} occur twice`);
    cursor.what = `the metadata ${quote(key)}`;
    metadata.set(key, cursor.value(cursor.uint32()));
  }
  const alignment = metadata.get(alignmentKey) ?? defaultAlignment;
  if (typeof alignment !== "number" || !Number.isInteger(Math.log2(alignment)) || alignment > 2 ** 16) {
    throw damaged(path, `${alignmentKey} is ${alignment}, expected a power of two`);
  }
  const tensors = new Map<string, Entry>();
  for (let i = 0; i < tensorCount; i++) {
    cursor.what = `the description of tensor ${i + 1} of ${tensorCount}`;
    const name = cursor.string();
    if (tensors.has(name)) throw damaged(path, `tensor ${quote(name)} occurs twice`);
    tensors.set(name, readEntry(cursor, name, alignment, path));
  }
  return { metadata, tensors, dataStart: aligned(cursor.position, alignment) };
}

function readEntry(cursor: Cursor, name: string, alignment: number, path: string): Entry {
  const refuse = (what: string) => damaged(path, `tensor ${quote(name)}: ${what}`);
  const axes = cursor.uint32();
  if (axes > maxAxes) throw refuse(`has ${axes} axes, expected at most ${maxAxes}`);
  const shape = Array.from({ length: axes }, () => cursor.length()).reverse();
  const number = cursor.uint32();
  const type = (Object.keys(tensorTypes) as GgufType[]).find((key) => tensorTypes[key].number === number);
  if (!type) {
    throw refuse(`is of ggml's type ${number}, expected one of ${Object.keys(tensorTypes).join(", ")}`);
  }
  const offset = cursor.length();
  if (offset % alignment !== 0) throw refuse(`starts at byte ${offset}, expected a multiple of ${alignment}`);
  return { type, shape, offset };
}

function checkExtents(tensors: ReadonlyMap<string, Entry>, dataBytes: number, path: string): void {
  let end = 0;
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset);
  for (const [name, { type, shape, offset }] of inOrder) {
    const refuse = (what: string) => damaged(path, `tensor ${quote(name)}: ${what}`);
    const bytes = bytesOfTensor(type, shape);
    // A product that overflows is far from any length of data, or NaN.
    if (!Number.isSafeInteger(bytes)) throw refuse(`cannot have the shape [${shape.join(", ")}] in ${type}`);
    if (offset < end) throw refuse(`starts at byte ${offset} of the data, where another ends at ${end}`);
    end = offset + bytes;
    if (end > dataBytes) throw refuse(`ends at byte ${end} of the data, which has ${Math.max(0, dataBytes)}`);
  }
}

/** Thrown where more bytes are needed than there are. */
class EndOfBytes extends Error {
  constructor(readonly what: string) {
    super();
  }
}

interface NumberArrayClass {
  BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): NumberArray;
}

const numberArrays: Readonly<Record<number, NumberArrayClass>> = {
  [valueTypes.uint8]: Uint8Array,
  [valueTypes.int8]: Int8Array,
  [valueTypes.uint16]: Uint16Array,
  [valueTypes.int16]: Int16Array,
  [valueTypes.uint32]: Uint32Array,
  [valueTypes.int32]: Int32Array,
  [valueTypes.float32]: Float32Array,
  [valueTypes.float64]: Float64Array,
  [valueTypes.uint64]: BigUint64Array,
  [valueTypes.int64]: BigInt64Array,
};

/** Reads a header from its first byte on. */
class Cursor {
  position = 0;
  /** What is being read, for errors. */
  what = "";
  private readonly view: DataView;
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    private readonly bytes: Uint8Array<ArrayBuffer>,
    private readonly path: string,
  ) {
    this.view = new DataView(bytes.buffer);
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** A length or an offset: exact in a double. */
  length(): number {
    const value = this.view.getBigUint64(this.take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw damaged(this.path, `${this.what} has the length ${value}`);
    return Number(value);
  }

  string(): string {
    const length = this.length();
    const start = this.take(length);
    try {
      return this.decoder.decode(this.bytes.subarray(start, start + length));
    } catch (cause) {
      throw damaged(this.path, `${this.what} has a text that is not UTF-8`, cause);
    }
  }

  value(type: number): MetadataValue {
    if (type === valueTypes.string) return this.string();
    if (type === valueTypes.bool) return this.bool();
    if (type === valueTypes.array) return this.array();
    const [value] = this.numbers(type, 1);
    if (typeof value !== "bigint") return value;
    return BigInt.asIntN(54, value) === value ? Number(value) : value;
  }

  private bool(): boolean {
    const byte = this.bytes[this.take(1)];
    if (byte > 1) throw damaged(this.path, `${this.what} is the byte ${byte}, expected 0 or 1`);
    return byte === 1;
  }

  private array(): MetadataValue {
    const [type, length] = [this.uint32(), this.length()];
    // Grows as the bytes are read: the length may be anything.
    if (type === valueTypes.string) return this.list(length, () => this.string());
    if (type === valueTypes.bool) return this.list(length, () => this.bool());
    return this.numbers(type, length);
  }

  private list<T>(length: number, item: () => T): T[] {
    const items: T[] = [];
    for (let i = 0; i < length; i++) items.push(item());
    return items;
  }

  private numbers(type: number, length: number): NumberArray {
    const array = numberArrays[type];
    if (!array) throw damaged(this.path, `${this.what} is of type ${type}, which is none or a list of lists`);
    const bytes = length * array.BYTES_PER_ELEMENT;
    const start = this.take(bytes);
    return new array(this.bytes.slice(start, start + bytes).buffer);
  }

  /** Where the next bytes are. */
  private take(count: number): number {
    const start = this.position;
    if (start + count > this.bytes.length) throw new EndOfBytes(this.what);
    this.position += count;
    return start;
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

const quote = (value: unknown) => JSON.stringify(value).slice(0, 100);

function damaged(file: string, message: string, cause?: unknown): UserError {
  return new UserError(message, {
    place: { file },
    hint: "The file is damaged, or holds what is not read here. Fetch or write it again.",
    cause,
  });
}
