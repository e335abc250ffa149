import { readFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, cpus, platform } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { cacheHome, contentKey, FileCache } from "./file-cache.js";
import { encodeModel, type OnnxModel } from "./onnx/model.js";
import { inOrderOf } from "./onnx/order.js";

/** Where the optimized form of compiled programs is kept for the next start: a folder, or nowhere. */
export type CacheOption = false | string;

/** Changes with what this module does to a graph before it keeps it. */
const FORMAT = "optimized graph, version 1";

/** Sessions of fewer nodes are made within milliseconds; keeping them would take longer than it saves. */
const CACHED_FROM_NODES = 200;

/**
 * A session of ONNX Runtime for a model. More than half of the time that this takes goes into optimizing the graph, so
 * the optimized graph is kept on disk under the hash of everything that it depends on: the model as it was given,
 * which holds each shape, type and constant; the options; ONNX Runtime's version; and the processor, since the graph
 * may hold operators for its instructions. It gives the same bits as the graph that was optimized in this process.
 *
 * The model itself is traced and lowered anew in each process. That gives the key, and no change of the program, of
 * jax-js or of the lowering can be missed.
 */
export async function createSession(
  model: OnnxModel,
  options: ort.InferenceSession.SessionOptions,
  cacheOption: CacheOption | undefined,
): Promise<ort.InferenceSession> {
  const bytes = encodeModel(model);
  const cache = model.nodes.length >= CACHED_FROM_NODES ? cacheIn(cacheOption) : undefined;
  if (!cache) return ort.InferenceSession.create(bytes, options);
  const key = contentKey(FORMAT, bytes, JSON.stringify(options), onnxRuntimeVersion(), processor());
  const optimized = await cache.read(key);
  if (optimized) {
    const session = await ort.InferenceSession.create(optimized, {
      ...options,
      graphOptimizationLevel: "disabled", // done already
    }).catch(() => undefined);
    if (session && hasPorts(session, model)) return session;
    await session?.release();
    await cache.remove(key);
  }
  return optimizeInto(cache, key, model, bytes, options);
}

function cacheIn(option: CacheOption | undefined): FileCache | undefined {
  if (option === false) return undefined;
  if (option !== undefined) return new FileCache(option);
  const home = cacheHome();
  return home === undefined ? undefined : new FileCache(join(home, "compiled"));
}

/** Makes a session, and keeps the graph that ONNX Runtime made of the model where that can be written. */
async function optimizeInto(
  cache: FileCache,
  key: string,
  model: OnnxModel,
  bytes: Uint8Array,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  const path = await cache.aside();
  if (path === undefined) return ort.InferenceSession.create(bytes, options);
  try {
    const session = await ort.InferenceSession.create(bytes, {
      ...options,
      optimizedModelFilePath: path,
      logSeverityLevel: 3, // else it warns that the graph is for this machine only
    });
    const optimized = await readFile(path).catch(() => undefined);
    if (optimized) await cache.write(key, inOrderOf(model, optimized));
    return session;
  } catch {
    // The disk may be full or read-only. If the model is at fault, this throws the same error again.
    return ort.InferenceSession.create(bytes, options);
  } finally {
    await rm(path, { force: true }).catch(() => {});
  }
}

function hasPorts(session: ort.InferenceSession, model: OnnxModel): boolean {
  const same = (names: readonly string[], ports: OnnxModel["inputs"]) =>
    names.length === ports.length && ports.every((port, i) => names[i] === port.name);
  return same(session.inputNames, model.inputs) && same(session.outputNames, model.outputs);
}

let knownVersion: string | undefined;

function onnxRuntimeVersion(): string {
  knownVersion ??= (createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string })
    .version;
  return knownVersion;
}

let knownProcessor: string | undefined;

/** The processor's model and, where Linux tells them, its instructions: virtual machines may hide some. */
function processor(): string {
  knownProcessor ??= [platform(), arch(), cpus()[0]?.model, instructions()].join("\n");
  return knownProcessor;
}

function instructions(): string {
  try {
    return /^(?:flags|Features)\s*:.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "";
  } catch {
    return "";
  }
}
