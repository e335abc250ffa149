/* The thread in which threaded-model.ts has its model. */
import { parentPort, workerData } from "node:worker_threads";
import { UserError } from "../errors.js";
import { ApiError } from "./api-error.js";
import { loadServedModel, type ModelSource } from "./load-model.js";
import type { TextPiece, TextService } from "./text-service.js";
import type { ThreadMessage, ThreadRequest } from "./threaded-model.js";

const tell = (message: ThreadMessage) => parentPort?.postMessage(message);

function fail(error: unknown, id?: number): void {
  if (error instanceof ApiError && id !== undefined) tell({ kind: "refused", id, error: error.fields });
  else if (error instanceof UserError) {
    const { place, hint, exitCode } = error;
    tell({ kind: "failed", id, error, user: { place, hint, exitCode } });
  } else tell({ kind: "failed", id, error });
}

let pieces: { id: number; piece: TextPiece }[] = [];
function collect(id: number, piece: TextPiece): void {
  if (pieces.length === 0) setImmediate(sendPieces);
  pieces.push({ id, piece });
}
function sendPieces(): void {
  if (pieces.length > 0) tell({ kind: "pieces", pieces });
  pieces = [];
}

const running = new Map<number, AbortController>();

async function run(service: TextService, asked: ThreadRequest & { kind: "run" }): Promise<void> {
  const { id, request } = asked;
  const stop = new AbortController();
  running.set(id, stop);
  try {
    const onPiece = asked.pieces ? (piece: TextPiece) => collect(id, piece) : undefined;
    const result = await service.run(request, { signal: stop.signal, onPiece });
    sendPieces(); // none may come after the end
    tell({ kind: "done", id, result });
  } catch (error) {
    if (!stop.signal.aborted) fail(error, id);
  } finally {
    running.delete(id);
  }
}

try {
  const service = await loadServedModel(workerData as ModelSource);
  parentPort?.on("message", (asked: ThreadRequest) => {
    if (asked.kind === "run") void run(service, asked);
    else if (asked.kind === "cancel") running.get(asked.id)?.abort(new Error("cancelled"));
    else {
      for (const stop of running.values()) stop.abort(new Error("closed"));
      void service.dispose().finally(() => parentPort?.close());
    }
  });
  tell({ kind: "ready", info: service.info });
} catch (error) {
  fail(error);
  parentPort?.close();
}
