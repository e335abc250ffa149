export * from "./errors.js";
export * from "./random.js";
export * from "./models/params.js";
export * from "./models/transformer.js";
export * from "./train/flat.js";
export * from "./train/optimizer.js";
