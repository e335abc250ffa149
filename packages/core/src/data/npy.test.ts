import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { halfBits, halfValues } from "@outgrow/engine";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { readClassification } from "./dataset.js";
import { parseNpy, readNpy } from "./npy.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "outgrow-npy-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Dtype = "<f2" | "<f4" | "<f8";

/** A file as numpy/lib/format.py lays it out. */
function npy(
  values: ArrayLike<number>,
  shape: number[],
  { descr = "<f4", fortran = false, version = 1 } = {},
): Uint8Array {
  const writers: Record<string, (values: ArrayLike<number>) => Uint16Array | Float32Array | Float64Array> = {
    "<f2": halfBits,
    "<f4": (numbers) => Float32Array.from(numbers),
    "<f8": (numbers) => Float64Array.from(numbers),
  };
  const numbers = writers[descr]?.(values) ?? new Uint8Array();
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': ${fortran ? "True" : "False"}, 'shape': (${dims}), }`;
  const begin = version === 1 ? 10 : 12;
  const header = text.padEnd(Math.ceil((begin + text.length + 1) / 64) * 64 - begin - 1).concat("\n");
  const head = Buffer.alloc(begin);
  head.write("\x93NUMPY", "latin1");
  head[6] = version;
  if (version === 1) head.writeUInt16LE(header.length, 8);
  else head.writeUInt32LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header), Buffer.from(numbers.buffer as ArrayBuffer)]);
}

const rounded = (descr: Dtype, values: number[]) =>
  descr === "<f2" ? halfValues(halfBits(values)) : Float32Array.from(values);

test("any matrix comes back, of every type, order and version", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom<Dtype>("<f2", "<f4", "<f8"),
      fc.boolean(),
      fc.integer({ min: 1, max: 3 }),
      fc.infiniteStream(fc.double({ min: -60_000, max: 60_000, noNaN: true })),
      (rows, columns, descr, fortran, version, stream) => {
        const values = Array.from({ length: rows * columns }, () => stream.next().value as number);
        const stored = fortran
          ? values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)])
          : values;
        const matrix = parseNpy(npy(stored, [rows, columns], { descr, fortran, version }), "m.npy");
        expect(matrix.shape).toEqual([rows, columns]);
        expect(matrix.values).toEqual(rounded(descr, values));
      },
    ),
    { numRuns: 200 },
  );
});

test("whatever bytes are damaged, it is a matrix or a UserError", () => {
  const whole = npy([1, 2, 3, 4, 5, 6], [3, 2]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
      const damaged = Uint8Array.from(whole);
      damaged[at] = byte;
      try {
        expect(parseNpy(damaged.subarray(0, Math.max(length, at)), "m.npy").values.length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
      }
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["text", Buffer.from("id,label\n1,a\n"), /no file of numpy\.save/],
  ["an archive", Buffer.from("PK\x03\x04aaaaaaaaaaaa"), /no file of numpy\.save/],
  ["whole numbers", npy([], [2, 2], { descr: "<i8" }), /type "<i8", expected float16/],
  ["big-endian numbers", npy([], [2, 2], { descr: ">f4" }), /type ">f4"/],
  ["a vector", npy([1, 2], [2]), /shape is \(2\)/],
  ["no rows", npy([], [0, 2]), /shape is \(0, 2\)/],
  ["a cut file", npy([1, 2, 3], [2, 2]), /12 bytes follow the header, expected 16/],
  ["more than is said", npy([1, 2, 3, 4, 5], [2, 2]), /20 bytes follow the header, expected 16/],
  ["a missing number", npy([1, 2, 3, Number.NaN, 5, 6], [3, 2]), /NaN at row 1, column 1/],
  ["what float32 can't hold", npy([1, 1e300], [1, 2], { descr: "<f8" }), /1e\+300 at row 0, column 1/],
  ["a version from the future", npy([1], [1, 1], { version: 4 }), /version 4/],
])("%s is refused", (_, bytes, message) => {
  expect(() => parseNpy(bytes, "m.npy")).toThrow(message);
});

const python = "/usr/bin/python3";
const hasNumpy = (() => {
  try {
    execFileSync(python, ["-c", "import numpy"], { stdio: "ignore" });
    return existsSync(python);
  } catch {
    return false;
  }
})();

test.skipIf(!hasNumpy)("files of NumPy itself", async () => {
  const script = `
import numpy, json, sys
r = numpy.random.default_rng(0)
for name in ["float16", "float32", "float64"]:
  for order in "CF":
    a = numpy.array(r.normal(size=(7, 5)), dtype=name, order=order)
    numpy.save(f"{sys.argv[1]}/{name}{order}.npy", a)
    json.dump(a.astype("float32").ravel().tolist(), open(f"{sys.argv[1]}/{name}{order}.json", "w"))
`;
  execFileSync(python, ["-c", script, folder]);
  for (const name of ["float16", "float32", "float64"]) {
    for (const order of ["C", "F"]) {
      const { values, shape } = await readNpy(join(folder, `${name}${order}.npy`));
      expect(shape).toEqual([7, 5]);
      expect([...values]).toEqual(JSON.parse(await readFile(join(folder, `${name}${order}.json`), "utf8")));
    }
  }
});

describe("beside a table", () => {
  const write = async (name: string, content: string | Uint8Array) => {
    const path = join(folder, name);
    await writeFile(path, content);
    return path;
  };
  const table = () => write("labels.csv", "id,gold\nx,no\ny,yes\nz,no\nw,yes\n");
  const features = () => write("features.npy", npy([1, 2, 3, 4, 5, 6, 7, 8], [4, 2], { descr: "<f2" }));
  const fails = async (weak: Uint8Array, message: RegExp) =>
    expect(
      readClassification(await table(), {
        features: [await features()],
        weak: await write("bad.npy", weak),
        truth: "gold",
        id: "id",
      }),
    ).rejects.toThrow(message);

  test("features and probabilities of a matrix", async () => {
    const probabilities = [0.75, 0.25, 0.5, 0.5, 0, 1, 0.125, 0.875];
    const data = await readClassification(await table(), {
      features: [await features()],
      weak: await write("weak.npy", npy(probabilities, [4, 2])),
      truth: "gold",
      id: "id",
    });
    expect(data.inputs).toMatchObject({
      features: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      shape: [4, 2],
    });
    expect(data.weak?.values).toEqual(Float32Array.from(probabilities));
    expect(data.ids).toEqual(["x", "y", "z", "w"]);
  });

  test("logits become their softmax, however large", async () => {
    const { weak } = await readClassification(await table(), {
      features: [await features()],
      weak: await write("logits.npy", npy([0, Math.log(3), 900, 0, -2, -2, 1, 3], [4, 2])),
      truth: "gold",
    });
    const logistic = 1 / (1 + Math.exp(-2));
    const expected = [0.25, 0.75, 1, 0, 0.5, 0.5, 1 - logistic, logistic];
    expected.forEach((p, i) => {
      expect(weak?.values[i]).toBeCloseTo(p, 6);
    });
  });

  test("what is no labels of this table is refused, by id where a row is wrong", async () => {
    await fails(npy([0.5, 0.5], [1, 2]), /matrix has 1 rows, the table has 4/);
    await fails(npy(Array(12).fill(1 / 3), [4, 3]), /3 columns, there are 2 classes/);
    await fails(npy([0.5, 0.5, 0.5, 0.6, 0, 1, 0, 1], [4, 2]), /row id "y" are 0\.5/);
    await fails(npy([0.5, 0.5, 0, 1, -0.5, 1.5, 0, 1], [4, 2]), /row id "z" are -0\.5/);
  });
});
