import type { ProgressStream } from "../../report/progress.js";
import { plainText, truncate } from "../../report/text.js";
import type { RunOutcome } from "./run-task.js";
import type { SweepRun } from "./spec.js";
import { computedStages, type SweepEvent } from "./sweep.js";

const REDRAW_MS = 200;
/** As many runs that are under way are shown. */
const SHOWN = 8;

interface Running {
  run: SweepRun;
  begun: number;
  fraction: number;
  detail: string;
}

/** In which fields a run differs from the others, e.g. `seed 3, world.noise 0.1`. */
export const labelOf = ({ varied, id }: SweepRun): string => {
  const parts = Object.entries(varied).map(([path, value]) => `${path} ${shown(value)}`);
  return parts.length > 0 ? parts.join(", ") : id;
};

const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

/** Seconds for people: `45 s`, `3 min`, `2.1 h`. */
export function inWords(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * Shows a sweep while it goes on: on a terminal what runs, how many are done and failed, and the time left, redrawn in
 * place; elsewhere a line for each run that ended.
 */
export class SweepDisplay {
  private readonly running = new Map<string, Running>();
  private done = 0;
  private failed = 0;
  /** Seconds of the runs in which something was computed. */
  private readonly took: number[] = [];
  private drawn = 0;
  private last = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly stream: ProgressStream,
    private readonly total: number,
    /** Runs at the same time; null while there is nobody to do them. */
    private parallel: number | null,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Shows an event of {@link runSweep}. */
  show(event: SweepEvent): void {
    const { run } = event;
    const now = this.clock();
    if (event.kind === "start") this.running.set(run.id, { run, begun: now, fraction: 0, detail: "" });
    else if (event.kind === "progress") {
      const found = this.running.get(run.id);
      if (found) Object.assign(found, { fraction: event.fraction, detail: event.detail ?? "" });
    } else this.end(event, now);
    this.draw(false);
  }

  setParallel(parallel: number | null): void {
    this.parallel = parallel;
  }

  finish(): void {
    if (this.stream.isTTY) this.draw(true);
  }

  /** A run whose stages were all there has nothing to compute but its table. */
  private isNew = (outcome: RunOutcome) => computedStages(outcome) > 1;

  private end({ run, outcome }: SweepEvent & { kind: "end" }, now: number): void {
    const begun = this.running.get(run.id)?.begun ?? now;
    this.running.delete(run.id);
    const ended = ++this.done;
    if (outcome.status === "failed") this.failed++;
    else if (this.isNew(outcome)) this.took.push((now - begun) / 1000);
    const what =
      outcome.status === "failed"
        ? `failed: ${plainText(outcome.reason.split("\n")[0])}`
        : this.isNew(outcome)
          ? `done in ${inWords(outcome.seconds)}`
          : "done before";
    const left = this.timeLeft(now);
    const line = `${ended}/${this.total} ${labelOf(run)}: ${what}${left === null || ended === this.total ? "" : `; about ${inWords(left)} left`}`;
    if (!this.stream.isTTY) this.stream.write(`${line}\n`);
    else if (outcome.status === "failed") {
      this.erase();
      this.stream.write(`${truncate(line, this.width())}\n`);
    }
  }

  /** Seconds until all have ended, by what runs took so far; null before the first has ended. */
  timeLeft(now: number): number | null {
    if (this.took.length === 0 || !this.parallel) return null;
    const mean = this.took.reduce((a, b) => a + b, 0) / this.took.length;
    const begun = [...this.running.values()].map(({ begun }) => Math.max(0, mean - (now - begun) / 1000));
    const waiting = this.total - this.done - this.running.size;
    return (begun.reduce((a, b) => a + b, 0) + waiting * mean) / this.parallel;
  }

  private width(): number {
    return Math.max(20, (this.stream.columns ?? 80) - 1);
  }

  private erase(): void {
    if (this.drawn > 0) this.stream.write(`\x1b[${this.drawn}A\x1b[J`);
    this.drawn = 0;
  }

  private draw(force: boolean): void {
    const now = this.clock();
    if (!this.stream.isTTY || (!force && now - this.last < REDRAW_MS)) return;
    this.last = now;
    const left = this.timeLeft(now);
    const counts = [
      `${this.done} of ${this.total} done`,
      this.failed > 0 ? `${this.failed} failed` : "",
      `${this.running.size} running`,
      left === null || this.done === this.total ? "" : `about ${inWords(left)} left`,
    ].filter(Boolean);
    const running = [...this.running.values()].map(({ run, begun, fraction, detail }) => {
      const percent = `${Math.floor(100 * fraction)} %`.padStart(5);
      return `  ${percent}  ${inWords((now - begun) / 1000).padStart(6)}  ${labelOf(run)}${detail ? `: ${plainText(detail)}` : ""}`;
    });
    const more = running.length > SHOWN ? [`  and ${running.length - SHOWN} more`] : [];
    const lines = [counts.join(", "), ...running.slice(0, SHOWN), ...more].map((line) =>
      truncate(line, this.width()),
    );
    this.erase();
    this.stream.write(`${lines.join("\n")}\n`);
    this.drawn = lines.length;
  }
}
