export * from "./adapters.js";
export {
  type Architecture,
  architectureOf,
  architectures,
  huggingFaceConfig,
  transformerFromHuggingFace,
} from "./config.js";
export * from "./load.js";
export * from "./save.js";
