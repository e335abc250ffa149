import { UserError } from "outgrow";

/**
 * Samples that are bags of patches. A patch that occurs several times is stored once, so that signals which many samples share
 * cost one row of every product.
 */
export interface Patches {
  /** The different patches: `[distinct, size]`. */
  values: Float32Array;
  /** Which patches each sample has: `[samples, perSample]`, rows of `values`. */
  index: Int32Array;
  samples: number;
  perSample: number;
  size: number;
}

/**
 * Your own samples, e.g. pieces of images.
 *
 * @param values `[samples, perSample, size]`
 * @throws UserError for no samples, another number of values, and values that are not finite (with the sample and patch)
 */
export function patchesOf(
  values: Float32Array,
  [samples, perSample, size]: readonly [samples: number, perSample: number, size: number],
): Patches {
  if (!(samples > 0 && perSample > 0 && size > 0)) {
    throw new UserError(
      `there is nothing to learn from: ${samples} samples of ${perSample} patches with ${size} values`,
      { hint: "The shape is [samples, patches of a sample, values of a patch], each at least 1." },
    );
  }
  if (values.length !== samples * perSample * size) {
    throw new UserError(
      `${values.length} values are not ${samples} samples of ${perSample} patches with ${size} values, which are ${samples * perSample * size}`,
    );
  }
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const patch = Math.floor(bad / size);
    throw new UserError(
      `value ${bad % size} of patch ${patch % perSample} of sample ${Math.floor(patch / perSample)} is ${values[bad]}`,
    );
  }
  const places = new Map<string, number>();
  const index = Int32Array.from({ length: samples * perSample }, (_, k) => {
    const key = Buffer.from(values.buffer, values.byteOffset + 4 * k * size, 4 * size).toString("latin1");
    const place = places.get(key) ?? places.size;
    places.set(key, place);
    return place;
  });
  const distinct = new Float32Array(places.size * size);
  index.forEach((place, k) => {
    distinct.set(values.subarray(k * size, (k + 1) * size), place * size);
  });
  return { values: distinct, index, samples, perSample, size };
}

/** How many different patches there are. */
export const distinctOf = ({ values, size }: Patches): number => values.length / size;

/** The sums of each sample's patches, all that a linear model sees: `[samples, size]`. */
export function patchSums({ values, index, samples, perSample, size }: Patches): Float32Array {
  const sums = new Float32Array(samples * size);
  index.forEach((place, k) => {
    const [at, from] = [Math.floor(k / perSample) * size, place * size];
    for (let j = 0; j < size; j++) sums[at + j] += values[from + j];
  });
  return sums;
}
