// What a page may import, in one module.
export * as jax from "@jax-js/jax";
export * from "../index.js";
export { train } from "./training.js";
