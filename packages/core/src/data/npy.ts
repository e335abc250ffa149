import { readFile } from "node:fs/promises";
import { halfValues } from "@outgrow/engine";
import { UserError } from "../errors.js";

/** Numbers of a file of NumPy's, row by row. */
export interface Matrix {
  values: Float32Array;
  shape: [rows: number, columns: number];
}

const magic = Buffer.from("\x93NUMPY", "latin1");

/**
 * Bytes of each number, and how they are read: from a little-endian copy that begins where the numbers do. No machine that Node runs the
 * engine on is big-endian.
 */
const dtypes: Record<string, { size: number; read(bytes: ArrayBuffer): ArrayLike<number> }> = {
  "<f2": { size: 2, read: (bytes) => halfValues(new Uint16Array(bytes)) },
  "<f4": { size: 4, read: (bytes) => new Float32Array(bytes) },
  "<f8": { size: 8, read: (bytes) => new Float64Array(bytes) },
};

/**
 * Reads a matrix that `numpy.save` wrote: float16, float32 or float64, in C or Fortran order, format versions 1 to 3. Numbers are rounded
 * to float32.
 *
 * @throws UserError for what is no such file, a damaged or short one, another type or other dimensions, and, by row and column counted from
 *   0, for a number that is not finite in float32
 */
export async function readNpy(file: string): Promise<Matrix> {
  const bytes = await readFile(file).catch((cause: Error) => {
    throw new UserError(`the file can't be read: ${cause.message}`, { place: { file }, cause });
  });
  return parseNpy(bytes, file);
}

/** {@link readNpy} of bytes; `file` is for its errors. */
export function parseNpy(bytes: Uint8Array, file: string): Matrix {
  const refuse = (message: string, hint?: string) => new UserError(message, { place: { file }, hint });
  const { descr, fortran, shape, start } = headerOf(Buffer.from(bytes), refuse);
  const dtype = Object.hasOwn(dtypes, descr) ? dtypes[descr] : undefined;
  if (!dtype) {
    throw refuse(
      `the numbers are of type ${JSON.stringify(descr)}, expected float16, float32 or float64 (little-endian)`,
      "Save array.astype(numpy.float32).",
    );
  }
  if (shape.length !== 2 || shape.some((length) => length < 1)) {
    throw refuse(
      `the shape is (${shape.join(", ")}), expected [rows, columns]`,
      "Save a matrix with a row for each row of the table.",
    );
  }
  const [rows, columns] = shape;
  const expected = rows * columns * dtype.size;
  if (bytes.length - start !== expected) {
    throw refuse(
      `${bytes.length - start} bytes follow the header, expected ${expected} for ${rows} rows of ${columns}`,
      "The file is damaged or was not written to its end. Save it again.",
    );
  }
  const read = dtype.read(Uint8Array.from(bytes.subarray(start)).buffer);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = read[fortran ? column * rows + row : row * columns + column];
      values[row * columns + column] = value;
      if (Number.isFinite(values[row * columns + column])) continue;
      throw refuse(
        `the value ${value} at row ${row}, column ${column} (counted from 0) is not finite in float32`,
        "Fill it in, or remove the row here and in the table.",
      );
    }
  }
  return { values, shape: [rows, columns] };
}

interface Header {
  descr: string;
  fortran: boolean;
  shape: number[];
  /** Where the numbers begin. */
  start: number;
}

/** numpy/lib/format.py: magic, version, length of the header, and the header, a literal of Python's. */
function headerOf(bytes: Buffer, refuse: (message: string, hint?: string) => UserError): Header {
  if (bytes.length < 10 || !bytes.subarray(0, 6).equals(magic)) {
    throw refuse(
      "this is no file of numpy.save",
      "Expected a .npy file; .npz archives hold several of them.",
    );
  }
  const version = bytes[6];
  if (version < 1 || version > 3)
    throw refuse(`version ${version} of the format is not known, expected 1 to 3`);
  const begin = version === 1 ? 10 : 12;
  const length =
    bytes.length < begin ? Number.NaN : version === 1 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const start = begin + length;
  if (!(start <= bytes.length)) throw refuse("the header is not there as a whole", "Save the file again.");
  const text = bytes.toString("utf8", begin, start);
  const field = (name: string, value: string) =>
    new RegExp(`['"]${name}['"]\\s*:\\s*${value}`).exec(text)?.[1];
  const descr = field("descr", `['"]([^'"]*)['"]`);
  const order = field("fortran_order", "(True|False)");
  const shape = field("shape", "\\(([\\d,\\sL]*)\\)");
  if (descr === undefined && /['"]descr['"]\s*:\s*\[/.test(text)) {
    throw refuse("the rows are records of named fields, expected a matrix", "Save the columns as one array.");
  }
  if (descr === undefined || order === undefined || shape === undefined) {
    throw refuse(`the header ${JSON.stringify(text.trim().slice(0, 80))} is damaged`, "Save the file again.");
  }
  const lengths = shape.split(",").map((part) => part.trim());
  return {
    descr,
    fortran: order === "True",
    shape: lengths.filter((part) => part !== "").map((part) => Number(part.replace("L", ""))),
    start,
  };
}
