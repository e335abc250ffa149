export * as arithBase from "./base-models/arith-chain.js";
export * as deception from "./deception/index.js";
export { experiments } from "./experiments.js";
export * as languageModels from "./language-models/index.js";
export { studies } from "./studies.js";
export * as w2sg from "./w2sg/index.js";
export * as wtsBeyondAccuracy from "./wts-beyond-accuracy/index.js";
export * as weakProxies from "./weak-proxies/index.js";
