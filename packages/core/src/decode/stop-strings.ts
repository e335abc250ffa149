/** Text that ends before the first of some strings. What may be the beginning of one is held back until it is certain. */
export class StoppedText {
  /** All that is certain so far. */
  text = "";
  /** Whether a stop string was met; nothing comes after it. */
  stopped = false;
  private held = "";

  constructor(private readonly stops: readonly string[]) {}

  /** Adds a piece. Returns what has become certain. */
  push(piece: string): string {
    if (this.stopped) return "";
    this.held += piece;
    const found = this.stops.map((stop) => this.held.indexOf(stop)).filter((at) => at >= 0);
    this.stopped = found.length > 0;
    return this.release(this.stopped ? Math.min(...found) : this.held.length - this.longestBeginning());
  }

  /** Nothing more comes. Returns what was held back. */
  end(): string {
    return this.stopped ? "" : this.release(this.held.length);
  }

  private release(length: number): string {
    const certain = this.held.slice(0, length);
    this.held = this.held.slice(length);
    this.text += certain;
    return certain;
  }

  /** Length of the longest end of what is held that begins a stop string. */
  private longestBeginning(): number {
    const longest = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, this.held.length); length > 0; length--) {
      const end = this.held.slice(-length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
