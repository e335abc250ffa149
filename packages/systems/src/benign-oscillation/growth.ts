import { UserError } from "outgrow";
import type { PatchCnn, PatchPoint, Trace } from "./method.js";
import { dot } from "./span.js";

/** Cosine up to which two vectors count as orthogonal. */
const ORTHOGONAL = 1e-9;

export interface Growth {
  /** Of the filter. */
  index: number;
  /** log of ⟨w, x⟩ after training over that before, for the filter's own sign of the feature. */
  measured: number;
  /** Σ log(1 + κ_x (1 − y·f(x))) over the visits of points of the filter's class that carry the feature. */
  predicted: number;
}

/**
 * The exact identity of growth: on each visit of a point of the class j that carries the patch j·feature, ⟨w_j, j·feature⟩ is
 * multiplied by 1 + κ_x (1 − y·f(x)), κ_x = 4η‖feature‖²/m, if it is positive; no other visit changes it. Filters that start
 * on the other side, or are thrown to it by a factor below 0, are left out.
 *
 * @throws UserError where a patch is neither ±y·feature nor orthogonal to it: the identity does not hold there
 */
export function featureGrowth({
  before,
  after,
  points,
  trace,
  feature,
  learningRate,
}: {
  before: PatchCnn;
  after: PatchCnn;
  points: readonly PatchPoint[];
  /** Of training with one point a step. */
  trace: Trace;
  feature: ArrayLike<number>;
  learningRate: number;
}): Growth[] {
  const square = dot(feature, feature);
  const carries = points.map((point, i) => carriesFeature(point, i, feature, square));
  const width = before.filters.length / 2;
  const kappa = (4 * learningRate * square) / width;
  const sums = new Map<number, number>([
    [1, 0],
    [-1, 0],
  ]);
  const crossed = new Set<number>();
  trace.point.forEach((i, visit) => {
    if (!carries[i]) return;
    const { label } = points[i];
    const factor = 1 + kappa * (1 - trace.margin[visit]);
    if (factor <= 0) crossed.add(label);
    sums.set(label, (sums.get(label) as number) + Math.log(Math.max(factor, 0)));
  });
  return before.filters.flatMap((filter, index) => {
    const sign = index < width ? 1 : -1;
    const start = sign * dot(filter, feature);
    if (start <= 0 || crossed.has(sign)) return [];
    const measured = Math.log((sign * dot(after.filters[index], feature)) / start);
    return [{ index, measured, predicted: sums.get(sign) as number }];
  });
}

function carriesFeature(
  { patches, label }: PatchPoint,
  index: number,
  feature: ArrayLike<number>,
  square: number,
): boolean {
  const found = patches.filter((patch, p) => {
    const along = dot(patch, feature);
    const length = Math.sqrt(dot(patch, patch));
    if (Math.abs(along) <= ORTHOGONAL * length * Math.sqrt(square)) return false;
    for (let k = 0; k < patch.length; k++) {
      if (Math.abs(patch[k] - label * feature[k]) > ORTHOGONAL * Math.sqrt(square)) {
        throw new UserError(
          `patch ${p} of point ${index} is neither the feature times the label nor orthogonal to it`,
          { hint: "The identity of growth is exact only there; training itself takes any patches." },
        );
      }
    }
    return true;
  });
  if (found.length > 1) {
    throw new UserError(`point ${index} carries the feature in ${found.length} patches`, {
      hint: "The identity of growth is about points that carry it once.",
    });
  }
  return found.length === 1;
}

/** Classes none of whose filters starts on the feature's side: a squared ReLU cannot grow from there. */
export function deadClasses({ filters }: PatchCnn, feature: ArrayLike<number>): (1 | -1)[] {
  const width = filters.length / 2;
  return ([1, -1] as const).filter((sign) =>
    filters.every((filter, r) => r < width !== sign > 0 || sign * dot(filter, feature) <= 0),
  );
}
