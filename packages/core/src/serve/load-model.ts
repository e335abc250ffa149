import { totalmem } from "node:os";
import { createGenerator } from "../decode/generator.js";
import { loadLanguageModel } from "../models/hugging-face/index.js";
import type { TransformerConfig } from "../models/transformer-config.js";
import { servedModel } from "./served-model.js";
import type { TextService } from "./text-service.js";

/** Where a model is, and how it is to be served. */
export interface ModelSource {
  /** By which clients ask for it. */
  name: string;
  /** In Hugging Face's layout. */
  folder: string;
  /** Answers that are generated at the same time. Default: as many as fit a quarter of the memory, at most 32. */
  rows?: number;
}

/** Loads a model and makes it ready to be served from this thread. @throws UserError where it cannot be loaded */
export async function loadServedModel({ name, folder, ...source }: ModelSource): Promise<TextService> {
  const model = await loadLanguageModel(folder);
  const rows = source.rows ?? rowsThatFit(model.config);
  return servedModel(model, createGenerator(model, { capacity: rows }), { name, rows });
}

/** Rows whose keys and values, of the longest texts, fit a quarter of the memory. */
function rowsThatFit({ layers, keyValueHeads, headSize, contextLength }: TransformerConfig): number {
  const bytes = 2 * 4 * layers * keyValueHeads * headSize * contextLength;
  return Math.max(1, Math.min(32, Math.floor(totalmem() / 4 / bytes)));
}
