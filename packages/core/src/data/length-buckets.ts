/** Lengths below this are all padded to it. */
const SHORTEST = 16;

/**
 * The length to pad a sequence to, so that sequences of any length have few: powers of two and what lies halfway between
 * them (16, 24, 32, 48, 64, ...), of which a third is padding at the most. Beyond `longest`, `longest`.
 */
export function bucketLength(length: number, longest: number): number {
  let bucket = SHORTEST;
  while (bucket < length) bucket = bucket % 3 === 0 ? (bucket / 3) * 4 : bucket * 1.5;
  return Math.min(bucket, longest);
}
