export { languageModelIn, loadGguf } from "./load.js";
export { decodeGguf, type GgufFile, openGguf } from "./read.js";
export { type GgufStoredType, ggufStoredTypes, type SaveGgufOptions, saveGguf } from "./save.js";
