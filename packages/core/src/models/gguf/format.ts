/*
 * GGUF, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a magic number, counts, metadata by name,
 * the descriptions of the tensors, padding, the tensors, each aligned. All little-endian. Shapes are stored with the axis
 * that is contiguous in memory first; here they are in the order of tensors, with that axis last.
 */
export const magic = 0x46554747; // "GGUF"
export const version = 3;
export const alignmentKey = "general.alignment";
export const defaultAlignment = 32;
export const maxAxes = 4;

/** Number of each type of metadata. */
export const valueTypes = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const;

/** Types of tensors that are read and written, by their number in ggml: numbers in a block, and its bytes. */
export const tensorTypes = {
  F32: { number: 0, block: 1, bytes: 4 },
  F16: { number: 1, block: 1, bytes: 2 },
  /** 32 signed bytes and the float16 that scales them. */
  Q8_0: { number: 8, block: 32, bytes: 34 },
  BF16: { number: 30, block: 1, bytes: 2 },
} as const;
export type GgufType = keyof typeof tensorTypes;

/** Bytes of a tensor; NaN where its rows are no whole blocks. */
export function bytesOfTensor(type: GgufType, shape: readonly number[]): number {
  const { block, bytes } = tensorTypes[type];
  const columns = shape[shape.length - 1] ?? 1;
  if (columns % block !== 0) return Number.NaN;
  return (shape.reduce((product, length) => product * length, 1) / block) * bytes;
}

export const aligned = (offset: number, alignment: number) => Math.ceil(offset / alignment) * alignment;
