import { readFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { arch, cpus, platform } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { cacheHome, contentKey, FileCache } from "./file-cache.js";
import type { OnnxModel, OnnxPort } from "./onnx/model.js";
import { inOrderOf } from "./onnx/order.js";

/** Where the optimized form of compiled programs is kept for the next start: a folder, or nowhere. */
export type CacheOption = false | string;

type SessionOptions = ort.InferenceSession.SessionOptions;

/** What is kept of a program: the ports of its model, and the graph that ONNX Runtime made of it. */
interface Kept {
  ports: Ports;
  graph: Uint8Array;
}
interface Ports {
  inputs: readonly OnnxPort[];
  outputs: readonly OnnxPort[];
}

/** Changes with what this module keeps of a program. */
const FORMAT = "optimized graph, version 2";

/** Sessions of fewer nodes are made within milliseconds; keeping them would take longer than it saves. */
const KEPT_FROM_NODES = 200;

/**
 * The place in a cache of one program. Lowering it and optimizing its graph take most of the time of a compilation, so
 * the optimized graph is kept on disk under the hash of everything that it depends on: the traced program with its
 * constants and the code that lowers it (`program`, see program-key.ts), the options, ONNX Runtime's version, and the
 * processor, since the graph may hold operators for its instructions. It gives the same bits as the graph that was
 * optimized in this process. The program itself is traced anew in each process: that gives the key.
 */
export class KeptSession {
  private constructor(
    private readonly cache: FileCache,
    private readonly key: string,
    private readonly options: SessionOptions,
  ) {}

  /** Undefined where nothing is to be kept. */
  static at(
    option: CacheOption | undefined,
    program: string,
    options: SessionOptions,
  ): KeptSession | undefined {
    const home = cacheHome();
    const folder = option ?? (home === undefined ? false : join(home, "compiled"));
    if (folder === false) return undefined;
    const key = contentKey(FORMAT, program, JSON.stringify(options), onnxRuntimeVersion(), processor());
    return new KeptSession(new FileCache(folder), key, options);
  }

  /** The session that was kept, and the ports of its model; undefined where there is none that may be used. */
  async open(): Promise<{ session: ort.InferenceSession; ports: Ports } | undefined> {
    const kept = decode(await this.cache.read(this.key));
    if (!kept) return undefined;
    const session = await ort.InferenceSession.create(kept.graph, {
      ...this.options,
      graphOptimizationLevel: "disabled", // done already
    }).catch(() => undefined);
    if (session && hasPorts(session, kept.ports)) return { session, ports: kept.ports };
    await session?.release();
    await this.cache.remove(this.key);
    return undefined;
  }

  /** Makes a session, and keeps the graph that ONNX Runtime made of the model where that can be written. */
  async create(model: OnnxModel, bytes: Uint8Array): Promise<ort.InferenceSession> {
    const path = model.nodes.length < KEPT_FROM_NODES ? undefined : await this.cache.aside();
    if (path === undefined) return ort.InferenceSession.create(bytes, this.options);
    try {
      const session = await ort.InferenceSession.create(bytes, {
        ...this.options,
        optimizedModelFilePath: path,
        logSeverityLevel: 3, // else it warns that the graph is for this machine only
      });
      const optimized = await readFile(path).catch(() => undefined);
      if (optimized)
        await this.cache.write(this.key, encode({ ports: model, graph: inOrderOf(model, optimized) }));
      return session;
    } catch {
      // The disk may be full or read-only. If the model is at fault, this throws the same error again.
      return ort.InferenceSession.create(bytes, this.options);
    } finally {
      await rm(path, { force: true }).catch(() => {});
    }
  }
}

/** The ports as a line of JSON, then the graph. */
function encode({ ports: { inputs, outputs }, graph }: Kept): Uint8Array {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ inputs, outputs })}\n`), graph]);
}

function decode(bytes: Uint8Array | undefined): Kept | undefined {
  const end = bytes?.indexOf(0x0a) ?? -1;
  if (!bytes || end < 0) return undefined;
  try {
    const ports = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString("utf8")) as Ports;
    if (!Array.isArray(ports.inputs) || !Array.isArray(ports.outputs)) return undefined;
    return { ports, graph: bytes.subarray(end + 1) };
  } catch {
    return undefined;
  }
}

function hasPorts(session: ort.InferenceSession, { inputs, outputs }: Ports): boolean {
  const same = (names: readonly string[], ports: readonly OnnxPort[]) =>
    names.length === ports.length && ports.every((port, i) => names[i] === port.name);
  return same(session.inputNames, inputs) && same(session.outputNames, outputs);
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
