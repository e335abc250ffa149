import { Tensor } from "@outgrow/engine";

/** Rows grow their room in steps of so many tokens: whole vectors of any processor. */
const ROOM_STEP = 32;

/** Sizes of what a cache holds for a token. */
export interface KeyValueSizes {
  layers: number;
  keyValueHeads: number;
  headSize: number;
}

/**
 * The keys and values of rows of tokens: for each layer two tensors `[rows, keyValueHeads, room, headSize]` in which rows lie
 * one after another, so that the first n of them are tensors too. Places that are not in use hold zeros: a step gives them no
 * weight, but would meet a NaN there.
 */
export class KeyValueRows {
  /** Places of each row. */
  room = 0;
  private allocatedRows = 0;
  /** Of each layer its keys, then its values. */
  private stores: Float32Array[];

  constructor(
    private readonly sizes: KeyValueSizes,
    /** Most tokens of a row. */
    private readonly longest: number,
  ) {
    this.stores = Array.from({ length: 2 * sizes.layers }, () => new Float32Array(0));
  }

  /**
   * Makes room for `rows` rows of up to `length` tokens; what the rows hold, `lengths` of each, stays. Room for much more
   * than that is given back, since every step looks at all of it.
   *
   * @returns whether the rows were moved, so that tensors of them are no longer theirs
   */
  reserve(rows: number, length: number, lengths: readonly number[]): boolean {
    const isFull = length > this.room;
    const isWide = this.room > 4 * roundedUp(length);
    if (rows <= this.allocatedRows && !isFull && !isWide) return false;
    // A quarter more than is asked for, so that rows that grow token by token seldom move.
    const wanted = isFull ? Math.max(length, this.room * 1.25) : isWide ? length * 1.25 : this.room;
    this.move(Math.max(rows, this.allocatedRows), roundedUp(Math.min(wanted, this.longest)), lengths);
    return true;
  }

  private move(rows: number, room: number, lengths: readonly number[]): void {
    const { keyValueHeads, headSize } = this.sizes;
    const size = rows * keyValueHeads * room * headSize;
    const heads = Array.from({ length: keyValueHeads * lengths.length }, (_, head) => head);
    // In the same memory the last moves first where all move towards the end.
    if (room > this.room) heads.reverse();
    this.stores = this.stores.map((old) => {
      // The memory is asked for in doubles; the operating system gives it when it is written.
      const store = size <= old.length ? old : new Float32Array(Math.max(size, 2 * old.length));
      for (const head of heads) {
        const from = head * this.room * headSize;
        const used = lengths[Math.floor(head / keyValueHeads)] * headSize;
        if (store === old) store.copyWithin(head * room * headSize, from, from + used);
        else store.set(old.subarray(from, from + used), head * room * headSize);
        store.fill(0, head * room * headSize + used, (head + 1) * room * headSize);
      }
      return store;
    });
    this.allocatedRows = rows;
    this.room = room;
  }

  /** `count` rows from `first` on, of each layer keys and values: `[count, keyValueHeads, room, headSize]`. */
  rows(first: number, count: number): Tensor[] {
    const { keyValueHeads, headSize } = this.sizes;
    const size = keyValueHeads * this.room * headSize;
    const shape = [count, keyValueHeads, this.room, headSize];
    return this.stores.map(
      (store) => new Tensor(store.subarray(first * size, (first + count) * size), shape),
    );
  }

  /** No places of `count` rows. */
  none(count: number): Tensor[] {
    const { keyValueHeads, headSize } = this.sizes;
    return this.stores.map(() => new Tensor(new Float32Array(0), [count, keyValueHeads, 0, headSize]));
  }

  /**
   * Writes keys and values of new tokens.
   *
   * @param fresh seen as `[layers, 2, rows, keyValueHeads, time, headSize]`
   * @param places where each of its rows is
   * @param starts the first of the new places in each row
   */
  write(fresh: Tensor, places: readonly number[], starts: readonly number[]): void {
    const { keyValueHeads, headSize } = this.sizes;
    const data = fresh.data as Float32Array;
    const count = fresh.shape[2] * headSize;
    let from = 0;
    for (const store of this.stores) {
      for (let i = 0; i < places.length; i++) {
        let to = (places[i] * keyValueHeads * this.room + starts[i]) * headSize;
        for (let head = 0; head < keyValueHeads; head++) {
          // A few numbers are copied sooner than a view of them is made.
          if (count > 64) store.set(data.subarray(from, from + count), to);
          else for (let j = 0; j < count; j++) store[to + j] = data[from + j];
          from += count;
          to += this.room * headSize;
        }
      }
    }
  }

  /** Makes a row the same as the first `length` tokens of another. */
  copy(from: number, to: number, length: number): void {
    const { keyValueHeads, headSize } = this.sizes;
    const stride = this.room * headSize;
    for (const store of this.stores) {
      for (let head = 0; head < keyValueHeads; head++) {
        const start = (from * keyValueHeads + head) * stride;
        store.copyWithin((to * keyValueHeads + head) * stride, start, start + length * headSize);
      }
    }
    this.clear(to, length);
  }

  /** Forgets what a row has from the place `length` on. */
  clear(row: number, length: number): void {
    const { keyValueHeads, headSize } = this.sizes;
    const stride = this.room * headSize;
    for (const store of this.stores) {
      for (let head = row * keyValueHeads; head < (row + 1) * keyValueHeads; head++) {
        store.fill(0, head * stride + length * headSize, (head + 1) * stride);
      }
    }
  }

  /** Two rows change places. */
  swap(a: number, b: number): void {
    const size = this.sizes.keyValueHeads * this.room * this.sizes.headSize;
    for (const store of this.stores) {
      const kept = store.slice(a * size, (a + 1) * size);
      store.copyWithin(a * size, b * size, (b + 1) * size);
      store.set(kept, b * size);
    }
  }
}

const roundedUp = (length: number) => Math.ceil(length / ROOM_STEP) * ROOM_STEP;
