import type { Decoder } from "../decoder.js";

/** The rows that a search has in a decoder, so that all are given back whichever way it ends. */
export class OwnedRows {
  private readonly rows = new Set<number>();

  constructor(readonly decoder: Decoder) {}

  async add(prompts: readonly Int32Array[]): Promise<{ rows: number[]; logits: Float32Array }> {
    const added = await this.decoder.add(prompts);
    for (const row of added.rows) this.rows.add(row);
    return added;
  }

  fork(row: number): number {
    const forked = this.decoder.fork(row);
    this.rows.add(forked);
    return forked;
  }

  remove(row: number): void {
    this.rows.delete(row);
    this.decoder.remove(row);
  }

  get count(): number {
    return this.rows.size;
  }

  removeAll(): void {
    for (const row of this.rows) this.decoder.remove(row);
    this.rows.clear();
  }
}

/** Runs a search; afterwards its rows are free, also where it threw or was aborted. */
export async function withRows<Result>(
  decoder: Decoder,
  search: (rows: OwnedRows) => Promise<Result>,
): Promise<Result> {
  const rows = new OwnedRows(decoder);
  try {
    return await search(rows);
  } finally {
    rows.removeAll();
  }
}
