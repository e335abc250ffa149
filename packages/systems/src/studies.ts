import type { Study } from "outgrow";
import { benignOscillation } from "./benign-oscillation/study.js";
import { boundaryTilting } from "./boundary-tilting/study.js";
import { coverageExpansion } from "./coverage-expansion/study.js";
import { deception } from "./deception/study.js";
import { linearToNonlinear } from "./linear-to-nonlinear/study.js";
import { misfitGain } from "./misfit-gain/study.js";
import { raven } from "./raven/study.js";
import { w2sg } from "./w2sg/reproduction.js";
import { weakProxies } from "./weak-proxies/study.js";
import { wtsBeyondAccuracy } from "./wts-beyond-accuracy/study.js";

/** The published systems, in the order of their families. */
export const studies: readonly Study[] = [
  w2sg,
  wtsBeyondAccuracy,
  deception,
  misfitGain,
  coverageExpansion,
  linearToNonlinear,
  raven,
  weakProxies,
  boundaryTilting,
  benignOscillation,
];
