import type { Constant } from "./trace.js";

/** A program with constants of more bytes than this is meant to take them as arguments. */
const WARN_ABOVE = 32 * 2 ** 20;

const warned = new Set<string>();

/**
 * Warns, once for each program and size, of constants that are so large that data was probably captured by a closure:
 * they are copied into the program, and into every file that is made of it.
 */
export function warnOfLargeConstants(name: string, constants: readonly Constant[]): void {
  const bytes = constants.reduce((total, { data }) => total + data.byteLength, 0);
  const key = `${bytes} ${name}`;
  if (bytes <= WARN_ABOVE || warned.has(key)) return;
  warned.add(key);
  const largest = constants.reduce((a, b) => (b.data.byteLength > a.data.byteLength ? b : a));
  process.emitWarning(
    `The program "${name}" holds ${(bytes / 1e6).toFixed(0)} MB of constants, the largest ${largest.dtype}[${largest.shape}]. ` +
      "An array from outside that the function uses becomes a part of the compiled program; pass it as an argument instead.",
    { type: "OutgrowWarning", code: "LARGE_CONSTANTS" },
  );
}
