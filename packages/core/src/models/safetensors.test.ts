import { spawnSync } from "node:child_process";
import { scalar, Tensor } from "@outgrow/engine";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.js";

const header = (json: string, data = new Uint8Array()) => {
  const text = Buffer.from(json);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
};
const entry = (dtype: string, shape: unknown, from: number, to: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [from, to] });

const shapes = fc.array(fc.nat({ max: 3 }), { maxLength: 3 });
const tensors = shapes.chain((shape) => {
  const minLength = shape.reduce((product, length) => product * length, 1);
  const size = { minLength, maxLength: minLength };
  return fc
    .oneof(
      fc.float32Array(size),
      fc.float64Array(size),
      fc.int32Array(size),
      fc.uint32Array(size),
      fc.uint8Array({ ...size, max: 1 }),
    )
    .map((data) => new Tensor(data, shape));
});
const tensorNames = fc
  .oneof(fc.string({ unit: "binary" }), fc.constantFrom("0", "1", "__proto__", "blocks.0.up.weight"))
  .filter((name) => name !== "__metadata__");
const files = fc.record({
  tensors: fc.dictionary(tensorNames, tensors, { noNullPrototype: true }),
  metadata: fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
});

describe("encodeSafetensors and decodeSafetensors", () => {
  test("what is read is what was written, bit for bit, and writing it again gives the same bytes", () => {
    fc.assert(
      fc.property(files, fc.nat({ max: 7 }), ({ tensors, metadata }, misalignment) => {
        const bytes = encodeSafetensors(tensors, metadata);
        const shifted = new Uint8Array(bytes.length + misalignment).subarray(misalignment);
        shifted.set(bytes);
        const read = decodeSafetensors(shifted, "a.safetensors");
        expect(new Map(Object.entries(read.metadata))).toEqual(new Map(Object.entries(metadata)));
        expect(new Map(Object.entries(read.tensors))).toEqual(new Map(Object.entries(tensors)));
        expect(encodeSafetensors(read.tensors, read.metadata)).toEqual(bytes);
      }),
    );
  });

  test("the order in which tensors are given does not matter", () => {
    const [a, b, c] = [scalar(1), new Tensor(Int32Array.of(2)), new Tensor(Uint8Array.of(1))];
    expect(encodeSafetensors({ c, b, a })).toEqual(encodeSafetensors({ a, b, c }));
  });

  // What version 0.8 of the reference implementation writes for these tensors.
  test("the layout is that of the reference implementation", () => {
    const bytes = encodeSafetensors(
      {
        b: new Tensor(Uint8Array.of(1, 0, 1)),
        "a.w": new Tensor(Float32Array.of(1, 2, 3, 4), [2, 2]),
        z: new Tensor(Int32Array.of(7), []),
      },
      { k: "v" },
    );
    const json =
      '{"__metadata__":{"k":"v"},"a.w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},' +
      '"z":{"dtype":"I32","shape":[],"data_offsets":[16,20]},"b":{"dtype":"BOOL","shape":[3],"data_offsets":[20,23]}}      ';
    expect(Buffer.from(bytes).toString("latin1")).toBe(
      `\xc8\0\0\0\0\0\0\0${json}\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\x07\0\0\0\x01\0\x01`,
    );
    expect(Buffer.from(encodeSafetensors({})).toString("latin1")).toBe("\x08\0\0\0\0\0\0\0{}      ");
  });

  test("the reference implementation reads our bytes and writes the same, where it is installed", (context) => {
    const bytes = encodeSafetensors(
      {
        "blocks.10.up": new Tensor(Float32Array.of(Number.NaN, -0, 1e-45, Number.POSITIVE_INFINITY), [4, 1]),
        "blocks.2.up": new Tensor(Int32Array.of(-1, 2 ** 31 - 1)),
        'ü "\n': new Tensor(new Uint8Array(3)),
        scalar: scalar(2),
        empty: new Tensor(new Float32Array(), [0, 3]),
      },
      { seed: "1" },
    );
    const program = `
import sys
try:
    from safetensors.numpy import load, save
except ImportError:
    sys.exit(77)
sys.stdout.buffer.write(save(load(sys.stdin.buffer.read()), {"seed": "1"}))`;
    const { error, status, stdout } = spawnSync("python3", ["-c", program], { input: bytes });
    if (error || status === 77) context.skip("the Python packages safetensors and numpy are not installed");
    expect(stdout.equals(bytes)).toBe(true);
  });

  test("every half-precision number becomes the float32 of the same value", () => {
    const halves = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
    const read = (dtype: string) =>
      decodeSafetensors(
        header(`{"a":${entry(dtype, [2 ** 16], 0, 2 ** 17)}}`, new Uint8Array(halves.buffer)),
        "a",
      ).tensors.a.data;
    const value = (bits: number, exponentBits: number) => {
      const fractionBits = 15 - exponentBits;
      const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
      const exponent = (bits & 0x7fff) >> fractionBits;
      const sign = bits & 0x8000 ? -1 : 1;
      const bias = 2 ** (exponentBits - 1) - 1;
      if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
      return exponent === 0
        ? sign * fraction * 2 ** (1 - bias)
        : sign * (1 + fraction) * 2 ** (exponent - bias);
    };
    expect(read("F16")).toEqual(Float32Array.from(halves, (bits) => value(bits, 5)));
    expect(read("BF16")).toEqual(Float32Array.from(halves, (bits) => value(bits, 8)));
  });

  test.each<[string, Uint8Array, string]>([
    ["an empty file", new Uint8Array(), "the file has 0 bytes, expected at least 8"],
    [
      "a header longer than the file",
      Buffer.from("\x03\0\0\0\0\0\0\0{}", "latin1"),
      "the header is said to have 3 bytes, expected at most 2",
    ],
    ["the longest header", Buffer.alloc(10, 255), "said to have 18446744073709551615 bytes"],
    ["no JSON", header("{,}"), "not valid JSON"],
    ["a list", header("[]"), "does not begin with {"],
    ["no UTF-8", header("{}  ").fill(255, 10), "not valid JSON in UTF-8"],
    ["metadata that are no texts", header('{"__metadata__":{"a":1}}'), "the metadata are not texts by name"],
    ["a missing field", header('{"a":{"dtype":"F32","shape":[]}}'), 'tensor "a": expected {"dtype": TEXT'],
    ["a negative length", header(`{"a":${entry("F32", [-1, -1], 0, 4)}}`, new Uint8Array(4)), 'tensor "a"'],
    ["half a length", header(`{"a":${entry("F32", [0.5], 0, 2)}}`, new Uint8Array(2)), 'tensor "a"'],
    [
      "an unknown type",
      header(`{"a":${entry("F4", [], 0, 4)}}`, new Uint8Array(4)),
      'tensor "a": the type is "F4", expected one of F64, F32, I32, U32, BOOL, F16, BF16',
    ],
    [
      "a type that objects inherit",
      header(`{"a":${entry("constructor", [], 0, 4)}}`, new Uint8Array(4)),
      'tensor "a": the type is "constructor"',
    ],
    [
      "data beyond the end",
      header(`{"a":${entry("F32", [2], 0, 8)}}`, new Uint8Array(4)),
      'tensor "a": ends at byte 8 of the data, which has 4',
    ],
    ["data that end before they start", header(`{"a":${entry("F32", [], 0, -4)}}`), 'tensor "a"'],
    [
      "a gap",
      header(`{"a":${entry("F32", [], 4, 8)}}`, new Uint8Array(8)),
      'tensor "a": starts at byte 4 of the data, expected 0',
    ],
    [
      "an overlap",
      header(`{"a":${entry("F32", [2], 0, 8)},"b":${entry("F32", [], 4, 8)}}`, new Uint8Array(8)),
      'tensor "b": starts at byte 4 of the data, expected 8',
    ],
    ["data of no tensor", header("{}", new Uint8Array(4)), "the tensors take 0 bytes, but 4 bytes follow"],
    [
      "a shape of another size",
      header(`{"a":${entry("F32", [3], 0, 8)}}`, new Uint8Array(8)),
      'tensor "a": needs 12 bytes for its shape, but has 8',
    ],
    ["a size that overflows", header(`{"a":${entry("F32", [2 ** 52, 2 ** 52], 0, 0)}}`), 'tensor "a": needs'],
    [
      "infinity times nothing",
      header(`{"a":${entry("F32", [...Array(30).fill(2 ** 52), 0], 0, 0)}}`),
      'tensor "a": needs NaN bytes',
    ],
    [
      "booleans that are not",
      header(`{"a":${entry("BOOL", [2], 0, 2)}}`, Uint8Array.of(1, 2)),
      'tensor "a": booleans are bytes 0 and 1',
    ],
    [
      "a tensor twice",
      header(`{"a":${entry("F32", [0], 0, 0)},"\\u0061":${entry("F32", [0], 0, 0)}}`),
      "twice",
    ],
    [
      "a field twice",
      header('{"a":{"dtype":"F32","dtype":"I32","shape":[0],"data_offsets":[0,0]}}'),
      "twice",
    ],
    ["a key of the metadata twice", header('{"__metadata__":{"a":"\\":","a":""}}'), "twice"],
    ["a header nested deeply", header(`{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`), 'tensor "a"'],
  ])("%s is refused", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes, "m.safetensors")).toThrow(
      expect.objectContaining({
        name: "UserError",
        message: expect.stringContaining(message),
        place: { file: "m.safetensors" },
        hint: expect.any(String),
      }),
    );
  });

  test("a damaged file is refused or read, and never takes more memory than its size allows", () => {
    const readOrRefuse = (bytes: Uint8Array) => {
      try {
        const { tensors } = decodeSafetensors(bytes, "a");
        const held = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
        expect(held).toBeLessThanOrEqual(2 * bytes.length); // 2: from F16
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    };
    const position = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const flips = fc.array(fc.tuple(position, fc.nat({ max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(files, flips, fc.option(position, { freq: 3 }), ({ tensors, metadata }, flips, end) => {
        const bytes = encodeSafetensors(tensors, metadata);
        for (const [at, value] of flips) bytes[Math.floor(at * bytes.length)] = value;
        readOrRefuse(bytes.subarray(0, end === null ? bytes.length : end * bytes.length));
      }),
      { numRuns: 1000 },
    );
    // Numbers in the header, which random bytes seldom keep valid.
    const numbers = fc.constantFrom(
      "0",
      "-0",
      "1",
      "-1",
      "4",
      "0.5",
      "1e400",
      "9007199254740991",
      "1e99",
      "[]",
      "null",
    );
    fc.assert(
      fc.property(
        files,
        fc.array(fc.option(numbers, { freq: 4 }), { minLength: 1 }),
        ({ tensors }, replacements) => {
          const bytes = Buffer.from(encodeSafetensors(tensors));
          const dataStart = 8 + Number(bytes.readBigUInt64LE());
          let i = 0;
          const json = bytes
            .toString("utf8", 8, dataStart)
            .replaceAll(/\d+/g, (number) => replacements[i++ % replacements.length] ?? number);
          readOrRefuse(header(json, bytes.subarray(dataStart)));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
