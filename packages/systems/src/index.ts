export { experiments } from "./experiments.js";
export * as w2sg from "./w2sg/index.js";
