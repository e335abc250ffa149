/**
 * Half precision numbers (IEEE 754 binary16) as their bits: 1 of sign, 5 of exponent, 10 of fraction.
 */

const bytes = new DataView(new ArrayBuffer(8));

/** The bits of the nearest float16, ties to even; beyond 65,520 infinity. */
function bitsOf(value: number): number {
  bytes.setFloat64(0, value);
  const sign = (bytes.getUint8(0) & 0x80) << 8;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65_520) return sign | 0x7c00;
  // Numbers below 2^-14 all have the spacing of the smallest exponent, 2^-24.
  const exponent = size < 2 ** -14 ? -14 : ((bytes.getUint16(0) >> 4) & 0x7ff) - 1023;
  const steps = roundToEven(size / 2 ** (exponent - 10));
  // A carry out of the fraction counts the exponent up by itself.
  return sign | (size < 2 ** -14 ? steps : ((exponent + 14) << 10) + steps);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const over = value - below;
  return over > 0.5 || (over === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function numberOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The bits of numbers rounded to float16, as the data of a float16 Tensor. */
export const halfBits = (values: ArrayLike<number>): Uint16Array => Uint16Array.from(values, bitsOf);

/** The numbers that the data of a float16 Tensor stands for. */
export const halfValues = (bits: ArrayLike<number>): Float32Array => Float32Array.from(bits, numberOf);
