export { type GgufStoredType, ggufStoredTypes, type SaveGgufOptions, saveGguf } from "./save.js";
