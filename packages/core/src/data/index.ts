export * from "./bpe.js";
export * from "./chat-template.js";
export * from "./csv-writer.js";
export * from "./dataset.js";
export * from "./split.js";
export * from "./stream-decoder.js";
export * from "./table.js";
export * from "./tokenizer-folder.js";
