import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { MetricsEvent } from "./lab.js";
import { fileVersionRecord, scalarsRecord } from "./tensorboard.js";

/** A line of `metrics.jsonl`. */
export interface MetricsLine extends MetricsEvent {
  /** Seconds since 1970 by this machine's clock, which may jump: the order is that of the lines. */
  time: number;
}

export interface MetricsLog {
  append(event: MetricsEvent): void;
  close(): void;
}

export interface MetricsOptions {
  /** Also write a TensorBoard event file, with tags such as `w2sg/pretrain/loss`. */
  tensorboard?: boolean;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Writes `metrics.jsonl` in a folder, a line at a time as things happen: a reader sees whole lines but for the last.
 * What a killed process has left is gone on with.
 */
export function openMetrics(
  folder: string,
  { tensorboard, now = Date.now }: MetricsOptions = {},
): MetricsLog {
  const lines = openForLines(join(folder, "metrics.jsonl"));
  let events: number | undefined;
  if (tensorboard) {
    const begun = now() / 1000;
    // The process in the name, because event files are never gone on with: TensorBoard reads all of a folder.
    const name = `events.out.tfevents.${Math.floor(begun)}.${hostname()}.${process.pid}`;
    events = openSync(join(folder, name), "a");
    writeSync(events, fileVersionRecord(begun));
  }
  return {
    append({ stage, step, values }) {
      const time = now() / 1000;
      writeSync(lines, `${JSON.stringify({ time, stage, step, values } satisfies MetricsLine)}\n`);
      if (events !== undefined) {
        const tagged = Object.fromEntries(
          Object.entries(values).map(([name, value]) => [`${stage}/${name}`, value]),
        );
        writeSync(events, scalarsRecord(time, step, tagged));
      }
    },
    close() {
      closeSync(lines);
      if (events !== undefined) closeSync(events);
    },
  };
}

/** Opens a file of lines for appending, without the half line that a killed writer may have left. */
export function openForLines(path: string): number {
  const file = openSync(path, "a+");
  const { size } = fstatSync(file);
  if (size > 0) ftruncateSync(file, readFileSync(path).lastIndexOf("\n") + 1);
  return file;
}

/** The whole lines of a file of JSON lines; none where there is no file. What is no JSON is told apart by `undefined`. */
export function readLines<T>(path: string): (T | undefined)[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      try {
        return JSON.parse(line) as T;
      } catch {
        return undefined;
      }
    });
}
