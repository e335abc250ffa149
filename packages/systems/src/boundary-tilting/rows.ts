import type { ResultRow } from "outgrow";

export type Row = ResultRow & {
  part: string;
  pair: string;
  classifier: string;
  /** Whether some training labels are wrong. */
  flips: boolean;
  /** Lambda is 10 to this power. */
  power: number | null;
  /** Side of the images. */
  size: number | null;
  decay: number | null;
  /** Whether it is the level of its sweep with the lowest validation error. */
  chosen: boolean;
  /** Degrees. */
  angle: number | null;
  cosine: number | null;
  /** null where infinite or undefined. */
  strength: number | null;
  adversarialDistance: number | null;
  errorDistance: number | null;
  /** Of the identity of adversarial distance and angle, relative to the centroids' distance. */
  identityError: number | null;
  trainError: number | null;
  validationError: number | null;
  testError: number | null;
  /** Duality gap, relative. */
  gap: number | null;
  /** Share of training predictions that a tilt changed. */
  changed: number | null;
  beyondBound: number | null;
  /** Mean distance to a network's boundary, linearised and by bisection. */
  linearised: number | null;
  boundary: number | null;
};

export const blank: Row = {
  part: "",
  pair: "",
  classifier: "",
  flips: false,
  power: null,
  size: null,
  decay: null,
  chosen: false,
  angle: null,
  cosine: null,
  strength: null,
  adversarialDistance: null,
  errorDistance: null,
  identityError: null,
  trainError: null,
  validationError: null,
  testError: null,
  gap: null,
  changed: null,
  beyondBound: null,
  linearised: null,
  boundary: null,
};
