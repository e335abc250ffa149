import { closeSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { openForLines } from "./json-lines.js";
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
