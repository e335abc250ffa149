import { beforeEach, describe, expect, test } from "vitest";
import { inWords, SweepDisplay } from "./display.js";
import type { RunOutcome } from "./run-task.js";
import type { SweepRun } from "./spec.js";

const runs: SweepRun[] = [0, 1, 2, 3].map((seed) => ({
  id: `run${seed}`,
  system: "toy",
  config: {},
  varied: { seed },
}));
const event = (cached: boolean) => ({ stage: "s", key: "k", hash: "h", cached, seconds: 1 });
const done = (cached = false): RunOutcome => ({
  status: "done",
  key: "k",
  hash: "h",
  seconds: 10,
  stages: [event(cached), event(cached)],
});
const failed: RunOutcome = { status: "failed", reason: "took 3 GiB\nat line 1", attempts: 1 };

let now: number;
let written: string;
beforeEach(() => {
  now = 0;
  written = "";
});
const display = (isTTY: boolean) =>
  new SweepDisplay(
    {
      isTTY,
      columns: 80,
      write: (text) => {
        written += text;
      },
    },
    runs.length,
    2,
    () => now,
  );

describe("a sweep's display", () => {
  test("is a line for each run that ended where there is no terminal", () => {
    const shown = display(false);
    shown.show({ kind: "start", run: runs[0] });
    now = 10_000;
    shown.show({ kind: "end", run: runs[0], outcome: done() });
    shown.show({ kind: "end", run: runs[1], outcome: failed });
    shown.show({ kind: "end", run: runs[2], outcome: done(true) });
    // Three runs of ten seconds are left after the first, on two workers.
    expect(written.split("\n")).toEqual([
      "1/4 seed 0: done in 10 s; about 15 s left",
      "2/4 seed 1: failed: took 3 GiB; about 10 s left",
      "3/4 seed 2: done before; about 5 s left",
      "",
    ]);
  });

  test("shows on a terminal what runs, what has ended and what failed", () => {
    const shown = display(true);
    shown.show({ kind: "start", run: runs[0] });
    shown.show({ kind: "start", run: runs[1] });
    now = 1000;
    shown.show({ kind: "progress", run: runs[0], fraction: 0.425, detail: "loss 0.1" });
    const lines = written.slice(written.lastIndexOf("\x1b[J") + 3).split("\n");
    expect(lines[0]).toBe("0 of 4 done, 2 running");
    expect(lines[1]).toMatch(/42 % +1 s {2}seed 0: loss 0\.1/);
    shown.show({ kind: "end", run: runs[1], outcome: failed });
    expect(written).toContain("1/4 seed 1: failed: took 3 GiB");
    shown.finish();
    expect(written.trimEnd().split("\n").at(-2)).toContain("1 of 4 done, 1 failed, 1 running");
  });

  test("knows no time left before a run was computed, nor while nobody is there to run them", () => {
    const shown = display(false);
    expect(shown.timeLeft(0)).toBeNull();
    shown.show({ kind: "start", run: runs[0] });
    now = 10_000;
    shown.show({ kind: "end", run: runs[0], outcome: done() });
    expect(shown.timeLeft(now)).toBe(15);
    shown.setParallel(null);
    expect(shown.timeLeft(now)).toBeNull();
  });
});

test.each([
  [0.2, "1 s"],
  [59, "59 s"],
  [61, "2 min"],
  [7200, "2.0 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(inWords(seconds)).toBe(text);
});
