/** Below this share of its length, what is left of a vector counts as rounding. */
const ROUNDING = 1e-10;

export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
};

/** An orthonormal basis of the vectors' span (Gram and Schmidt, twice for the sake of rounding). */
export function basisOf(vectors: readonly ArrayLike<number>[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const vector of vectors) {
    if (basis.length === vector.length) break;
    const rest = Float64Array.from(vector);
    for (let pass = 0; pass < 2; pass++) {
      for (const axis of basis) {
        const along = dot(rest, axis);
        for (let k = 0; k < rest.length; k++) rest[k] -= along * axis[k];
      }
    }
    const norm = Math.sqrt(dot(rest, rest));
    if (norm > ROUNDING * Math.sqrt(dot(vector, vector))) basis.push(rest.map((value) => value / norm));
  }
  return basis;
}

export const coordinates = (basis: readonly Float64Array[], vector: ArrayLike<number>): Float64Array =>
  Float64Array.from(basis, (axis) => dot(axis, vector));
