import type { Source } from "./random-program.js";

/** The numbers of an array that a program gives. */
export interface Output {
  readonly dtype: string;
  readonly data: readonly number[];
}

/** What a random program, scalars of its results and their gradients come to. */
export interface Outcome {
  results: Output[];
  values: Output[];
  gradients: Output[];
}

export const isFloat = ({ dtype }: { readonly dtype: string }): boolean => dtype.startsWith("float");

export interface Disagreement {
  /** As a multiple of what is allowed. */
  excess: number;
  where: string;
}

/** The largest disagreement. Integers and booleans have to agree exactly. */
export function disagreement(a: Outcome, b: Outcome, relative: number, absolute: number): Disagreement {
  const largest = (list: readonly number[]) => list.reduce((most, x) => Math.max(most, Math.abs(x) || 0), 1);
  const terms = a.results
    .filter(({ dtype }) => dtype !== "uint32")
    .flatMap(({ data }) => data)
    .reduce((total, x) => total + (Math.abs(x) || 0), 64);
  // Sums of terms that cancel are as exact as their terms are large.
  const outputs: { name: string; x: Output; y: Output; scale: number }[] = [
    ...a.results.map((x, i) => ({ name: `result ${i}`, x, y: b.results[i], scale: largest(x.data) })),
    ...a.values.map((x, i) => ({ name: `scalar ${i}`, x, y: b.values[i], scale: terms })),
    ...a.gradients.map((x, i) => ({ name: `gradient ${i}`, x, y: b.gradients[i], scale: largest(x.data) })),
  ];
  let worst: Disagreement = { excess: 0, where: "nowhere" };
  for (const { name, x, y, scale } of outputs) {
    if (x.data.length !== y.data.length) return { excess: Infinity, where: `${name} has another size` };
    // Gradients of float32 that jax-js adds up in float64 become float32 when it simplifies the traced program.
    if (x.dtype !== y.dtype && !(isFloat(x) && isFloat(y) && !name.startsWith("result")))
      return { excess: Infinity, where: `${name} is ${x.dtype} against ${y.dtype}` };
    x.data.forEach((value, i) => {
      const other = y.data[i];
      if (Object.is(value, other) || value === other) return;
      const allowed = isFloat(x) ? absolute * scale + relative * Math.abs(value) : 0;
      const excess = Math.abs(value - other) / allowed;
      if (!(excess <= worst.excess)) worst = { excess, where: `${name}[${i}]: ${value} against ${other}` };
    });
  }
  return Number.isNaN(worst.excess) ? { ...worst, excess: Infinity } : worst;
}

/** Arguments that differ by little more than rounding. */
export const nudged = (sources: readonly Source[]): Source[] =>
  sources.map((source, k) =>
    isFloat(source)
      ? {
          ...source,
          data: (source.data as Float32Array).map((x, i) => x + 1e-5 * Math.sin(7 * i + k + 1)),
        }
      : source,
  );

/** Whether a program's numbers are too large for their sums to be compared. */
export const isWild = ({ results, values, gradients }: Outcome): boolean =>
  [...results, ...values, ...gradients]
    .filter(({ dtype }) => dtype !== "uint32")
    .some(({ data }) => data.some((x) => Math.abs(x) > 1e4));
