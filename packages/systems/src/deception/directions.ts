import { type Random, UserError } from "outgrow";

/**
 * Two random unit vectors with this cosine, for objectives that conflict where it is negative: `[size]` each.
 *
 * @throws UserError for a cosine of 1 or -1
 */
export function twoDirections(size: number, cosine: number, random: Random): [Float32Array, Float32Array] {
  if (!(Math.abs(cosine) < 1)) {
    throw new UserError(`the objectives have a correlation of ${cosine}: there is no second direction`, {
      hint: "A number between -1 and 1; the study's is -0.3.",
    });
  }
  const h = unit(random.stream("harmlessness").normals(size));
  const raw = random.stream("helpfulness").normals(size);
  const along = dot(raw, h);
  const perpendicular = unit(raw.map((value, i) => value - along * h[i]));
  const rest = Math.sqrt(1 - cosine ** 2);
  return [h, h.map((value, i) => cosine * value + rest * perpendicular[i])];
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);

function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
}
