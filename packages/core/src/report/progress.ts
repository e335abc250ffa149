import { plainText, truncate } from "./text.js";

/** A step of long work that has begun. */
export interface StageProgress {
  /** @param fraction how much of the stage is done, in [0, 1]. @param detail e.g. `loss 0.412`. */
  update(fraction: number, detail?: string): void;
  /** @param how `reused`: the result was there already, so that its time says nothing about the time left. */
  done(how?: "reused"): void;
}

/** Where the parts of long work say how far they are. Stages may overlap. */
export interface Progress {
  /** @param weight the stage's share of the work, in any unit that all stages share; by default the plan's, else 1. */
  begin(name: string, weight?: number): StageProgress;
  /** Prints a line that stays. */
  log(line: string): void;
  /** Ends the display, whether the work succeeded or not. */
  finish(): void;
}

export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  /** Width of the terminal in characters. */
  columns?: number;
}

export interface ProgressOptions {
  /** Stages to come. Without them the share done would only count what has begun. */
  plan?: { name: string; weight: number }[];
  /** Milliseconds from any fixed point, never going back. */
  clock?: () => number;
}

/** For code that runs without an audience. */
export const silentProgress: Progress = {
  begin: () => ({ update: () => {}, done: () => {} }),
  log: () => {},
  finish: () => {},
};

interface Stage {
  name: string;
  weight: number;
  fraction: number;
  detail: string;
  /** When it began, and when it was last heard of; milliseconds. */
  begun: number;
  heard: number;
}

const REDRAW_MS = 100;
const LINE_MS = 10_000;
const BAR_COLUMNS = 20;

/**
 * Progress on a stream: on a terminal one line that is rewritten at most ten times a second, elsewhere a line
 * for each finished stage and at most one every ten seconds in between.
 */
export function createProgress(
  stream: ProgressStream = process.stderr,
  { plan = [], clock = () => performance.now() }: ProgressOptions = {},
): Progress {
  const started = clock();
  const timeLeft = createTimeLeft(started);
  const ahead = plan.map((stage) => ({ ...stage }));
  const running = new Set<Stage>();
  const live = stream.isTTY === true;
  let [total, finished, reused] = [ahead.reduce((sum, { weight }) => sum + weight, 0), 0, 0];
  let [lastWrite, over] = [started, false];
  const timer = live ? setInterval(() => show(1000), 1000) : undefined;
  timer?.unref();

  const weightDone = () =>
    [...running].reduce((sum, { weight, fraction }) => sum + weight * fraction, finished);

  function statusLine(now: number): string {
    const share = total > 0 ? Math.min(1, weightDone() / total) : 0;
    const filled = Math.floor(share * BAR_COLUMNS);
    const bar = "█".repeat(filled) + "░".repeat(BAR_COLUMNS - filled);
    const current = [...running].sort((a, b) => b.heard - a.heard);
    const more = current.length > 1 ? ` (+${current.length - 1} more)` : "";
    const left = timeLeft(now, weightDone() - reused, total - reused);
    const times = [
      formatDuration(now - started),
      left === undefined || left < 500 ? "" : `about ${formatDuration(left)} left`,
    ];
    return [
      `${String(Math.floor(share * 100)).padStart(3)} % ${live ? `${bar} ` : ""}${times.filter(Boolean).join(", ")}`,
      current.length > 0 ? current[0].name + more : "",
      current[0]?.detail ?? "",
    ]
      .filter(Boolean)
      .join(" · ");
  }

  /** Shows the state unless something was written less than `pause` milliseconds ago. */
  function show(pause: number): void {
    const now = clock();
    if (over || now - lastWrite < pause) return;
    lastWrite = now;
    if (live) stream.write(`\r${truncate(statusLine(now), (stream.columns ?? 80) - 1)}\u001b[K`);
    else stream.write(`${statusLine(now)}\n`);
  }

  function log(line: string): void {
    stream.write(`${live ? "\r\u001b[K" : ""}${plainText(line)}\n`);
    lastWrite = clock();
    if (live) show(0);
  }

  return {
    begin(name, weight) {
      const planned = ahead.findIndex((stage) => stage.name === name);
      const promised = planned === -1 ? 0 : ahead.splice(planned, 1)[0].weight;
      const now = clock();
      const own = weight ?? (planned === -1 ? 1 : promised);
      const stage = { name: plainText(name), weight: own, fraction: 0, detail: "", begun: now, heard: now };
      total += own - promised;
      running.add(stage);
      show(live ? REDRAW_MS : LINE_MS);
      return {
        update(fraction, detail = "") {
          if (!running.has(stage)) return;
          stage.fraction = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : stage.fraction;
          stage.detail = plainText(detail);
          stage.heard = clock();
          show(live ? REDRAW_MS : LINE_MS);
        },
        done(how) {
          if (!running.delete(stage)) return;
          finished += stage.weight;
          if (how === "reused") reused += stage.weight;
          if (live) show(REDRAW_MS);
          else log(`${stage.name}: ${how ?? `done in ${formatDuration(clock() - stage.begun)}`}`);
        },
      };
    },
    log,
    finish() {
      if (over) return;
      over = true;
      clearInterval(timer);
      if (live) stream.write("\r\u001b[K");
    },
  };
}

const SMOOTHING_MS = 20_000;
const FIRST_ESTIMATE_MS = 1000;

/**
 * Time left from the observed rate of work. Work and time are both discounted exponentially, over 20 s or half of
 * the time so far, whichever is longer: early on the rate is the plain mean, later the recent past counts
 * more, and a stall makes the time left grow. Undefined in the first second and until something was done.
 */
function createTimeLeft(started: number) {
  let [time, work] = [started, 0];
  let [recentTime, recentWork] = [0, 0];
  return (now: number, done: number, total: number): number | undefined => {
    const elapsed = now - started;
    const decay = Math.exp(-(now - time) / Math.max(SMOOTHING_MS, elapsed / 2));
    recentTime = recentTime * decay + (now - time);
    recentWork = recentWork * decay + (done - work);
    [time, work] = [now, done];
    if (elapsed < FIRST_ESTIMATE_MS || recentWork <= 0) return undefined;
    return Math.max(0, ((total - done) * recentTime) / recentWork);
  };
}

/** Milliseconds as `12 s`, `3 min 20 s` or `1 h 05 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
