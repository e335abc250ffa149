/*
 * ONNX Runtime computes on the thread that calls it: a model in the server's own thread would keep it from answering for
 * the time of each step. This is the calling side; model-thread.ts is the other.
 */
import { Worker } from "node:worker_threads";
import { UserError } from "../errors.js";
import { ApiError, type ApiErrorFields } from "./api-error.js";
import type { ModelSource } from "./load-model.js";
import type { ServedModelInfo, TextPiece, TextRequest, TextResult, TextService } from "./text-service.js";

/** What the thread is asked. */
export type ThreadRequest =
  | { kind: "run"; id: number; request: TextRequest; pieces: boolean }
  | { kind: "cancel"; id: number }
  | { kind: "close" };

/** What it tells. All pieces of a step come together. */
export type ThreadMessage =
  | { kind: "ready"; info: ServedModelInfo }
  | { kind: "pieces"; pieces: { id: number; piece: TextPiece }[] }
  | { kind: "done"; id: number; result: TextResult }
  | { kind: "refused"; id: number; error: ApiErrorFields }
  | { kind: "failed"; id?: number; error: unknown; user?: ConstructorParameters<typeof UserError>[1] };

interface Open {
  resolve: (result: TextResult) => void;
  reject: (reason: unknown) => void;
  onPiece?: (piece: TextPiece) => void;
}

// Tests run on the sources, but a thread runs what was built.
const script = import.meta.url.endsWith(".ts") ? "../../dist/serve/model-thread.js" : "./model-thread.js";

/**
 * A model that is loaded and computed in a thread of its own.
 *
 * @throws UserError where it cannot be loaded; the signal's reason where it was aborted meanwhile
 */
export async function threadedModel(options: ModelSource, signal?: AbortSignal): Promise<TextService> {
  signal?.throwIfAborted();
  const worker = new Worker(new URL(script, import.meta.url), { workerData: options });
  const open = new Map<number, Open>();
  let requests = 0;
  let ended: unknown;
  const ask = (request: ThreadRequest) => worker.postMessage(request);

  const end = (reason: unknown) => {
    ended ??= reason;
    for (const { reject } of open.values()) reject(reason);
    open.clear();
  };
  const settle = (id: number, how: (one: Open) => void) => {
    const one = open.get(id);
    open.delete(id);
    if (one) how(one);
  };

  let loaded: (info: ServedModelInfo) => void;
  let failed: (reason: unknown) => void;
  const ready = new Promise<ServedModelInfo>((resolve, reject) => {
    [loaded, failed] = [resolve, reject];
  });
  worker.on("message", (message: ThreadMessage) => {
    switch (message.kind) {
      case "ready":
        return loaded(message.info);
      case "pieces":
        for (const { id, piece } of message.pieces) open.get(id)?.onPiece?.(piece);
        return;
      case "done":
        return settle(message.id, ({ resolve }) => resolve(message.result));
      case "refused":
        return settle(message.id, ({ reject }) => reject(new ApiError(message.error)));
      case "failed": {
        const { id, error, user } = message;
        const reason = user ? new UserError((error as Error).message, user) : error;
        if (id === undefined) failed(reason);
        else settle(id, ({ reject }) => reject(reason));
      }
    }
  });
  const broken = (error: unknown) => {
    failed(error);
    end(error);
  };
  worker.on("error", broken);
  worker.on("exit", (code) => broken(new Error(`the model's thread ended with code ${code}`)));
  const abandon = () => failed(signal?.reason);
  signal?.addEventListener("abort", abandon, { once: true });

  let info: ServedModelInfo;
  try {
    info = await ready;
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abandon);
  }

  return {
    info,
    run(request, { signal, onPiece }) {
      return new Promise<TextResult>((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        if (ended !== undefined) return reject(ended);
        const id = requests++;
        const cancel = () => {
          ask({ kind: "cancel", id });
          settle(id, (one) => one.reject(signal.reason));
        };
        const settled =
          <T>(how: (value: T) => void) =>
          (value: T) => {
            signal.removeEventListener("abort", cancel);
            how(value);
          };
        open.set(id, { resolve: settled(resolve), reject: settled(reject), onPiece });
        signal.addEventListener("abort", cancel, { once: true });
        ask({ kind: "run", id, request, pieces: onPiece !== undefined });
      });
    },
    async dispose() {
      if (ended === undefined) {
        const gone = new Promise((resolve) => worker.once("exit", resolve));
        ended = new Error("the model was disposed of");
        ask({ kind: "close" });
        await gone;
      }
    },
  };
}
