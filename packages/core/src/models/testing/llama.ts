import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/*
 * llama.cpp as a peer of tests and benches: node-llama-cpp and its binary for this machine's CPU, where `npm run llama`
 * has installed them. Of its interface only what is used here.
 */

const installed = fileURLToPath(new URL("../../../../../node_modules/.cache/llama/", import.meta.url));

/** Why a test or bench is skipped. */
export const llamaMissing = "llama.cpp is not installed: npm run llama";

interface NodeLlamaCpp {
  getLlama(options: object): Promise<Llama>;
}

export interface Llama {
  loadModel(options: { modelPath: string; gpuLayers: number }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

export interface LlamaModel {
  tokenize(text: string, specialTokens?: boolean): number[];
  detokenize(tokens: readonly number[], specialTokens?: boolean): string;
  createContext(options: object): Promise<LlamaContext>;
  dispose(): Promise<void>;
}

export interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

export interface LlamaSequence {
  controlledEvaluate(
    input: readonly (number | [token: number, options: object])[],
  ): Promise<({ next: { logits?: ReadonlyMap<number, number>; token?: number | null } } | undefined)[]>;
  clearHistory(): Promise<void>;
}

/** llama.cpp on the CPU; undefined where it is not installed. Nothing is built and nothing fetched. */
export async function openLlama({ threads = 1 }: { threads?: number } = {}): Promise<Llama | undefined> {
  if (!existsSync(join(installed, "installed.json"))) return undefined;
  const entry = createRequire(join(installed, "package.json")).resolve("node-llama-cpp");
  const { getLlama } = (await import(/* @vite-ignore */ pathToFileURL(entry).href)) as NodeLlamaCpp;
  return getLlama({
    gpu: false,
    build: "never",
    usePrebuiltBinaries: true,
    skipDownload: true,
    progressLogs: false,
    logLevel: "error",
    maxThreads: threads,
  });
}

/** Logits `[time][vocabulary]` after each token of a text. Keys and values are kept as float32, as here. */
export async function llamaLogits(model: LlamaModel, tokens: readonly number[]): Promise<Float32Array[]> {
  const context = await model.createContext({
    contextSize: 64,
    sequences: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  try {
    const asked = { generateNext: { logits: true, options: { temperature: 0 } } };
    const given = await context.getSequence().controlledEvaluate(tokens.map((token) => [token, asked]));
    return given.map((item) => {
      const logits = item?.next.logits as ReadonlyMap<number, number>;
      return Float32Array.from({ length: logits.size }, (_, id) => logits.get(id) ?? Number.NaN);
    });
  } finally {
    await context.dispose();
  }
}
