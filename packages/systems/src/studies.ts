import type { Study } from "outgrow";
import { deception } from "./deception/study.js";

/** The published systems, in the order of their families. */
export const studies: readonly Study[] = [deception];
