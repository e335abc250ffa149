import { pause } from "./pause.js";

const minute = 60_000;

/** How much may be used in any minute, e.g. of requests or of tokens. */
export class RateLimit {
  private readonly used: { at: number; amount: number }[] = [];
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly perMinute: number) {}

  /**
   * Waits until the amount is free, first come first served. More than a minute's worth waits until nothing else is used.
   *
   * @returns a function that corrects the amount when it is known better
   */
  async take(amount: number, signal: AbortSignal): Promise<(known: number) => void> {
    const mine = this.turn.then(() => this.wait(amount, signal));
    this.turn = mine.catch(() => {});
    const entry = await mine;
    return (known) => {
      entry.amount = known;
    };
  }

  private async wait(amount: number, signal: AbortSignal) {
    for (;;) {
      signal.throwIfAborted();
      const now = performance.now();
      while (this.used.length > 0 && this.used[0].at <= now - minute) this.used.shift();
      const total = this.used.reduce((sum, one) => sum + one.amount, 0);
      if (this.used.length === 0 || total + amount <= this.perMinute) break;
      await pause(this.used[0].at + minute - now, signal);
    }
    const entry = { at: performance.now(), amount };
    this.used.push(entry);
    return entry;
  }
}

/** How many may be at work at the same time. */
export class Slots {
  private free: number;
  private readonly queue: (() => void)[] = [];

  constructor(count: number) {
    this.free = count;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.queue.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.queue.shift();
      if (next) next();
      else this.free++;
    }
  }
}
