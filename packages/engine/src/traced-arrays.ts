import * as jax from "@jax-js/jax";

/** jax-js's storage of arrays on a device, whose parts are counted and freed by number. */
interface Storage {
  malloc(size: number, initialData?: Uint8Array): number;
  incRef(slot: number): void;
  decRef(slot: number): void;
}

/** The storage of the default device. jax-js shows it to nobody but the arrays, which hand it to one another. */
function storage(): Storage {
  const prototype = jax.Array.prototype as unknown as { _putSync(storage: Storage): unknown };
  const put = prototype._putSync;
  let found: Storage | undefined;
  prototype._putSync = function (this: unknown, given) {
    found = given;
    return put.call(this, given);
  };
  try {
    jax.numpy
      .zeros([1])
      .add(jax.numpy.zeros([1]))
      .dispose();
  } finally {
    prototype._putSync = put;
  }
  return found as Storage;
}

/** The share that an array has in a part of the storage; without the array, so that this can be collected. */
interface Share {
  readonly storage: Storage;
  readonly slot: number;
  isFreed: boolean;
}

const abandoned = new FinalizationRegistry<Share>(({ storage, slot, isFreed }) => {
  if (!isFreed) storage.decRef(slot);
});

/**
 * Runs `body`, a tracing without counted references. Arrays that are made in it are nobody's to dispose: a closure or
 * jax-js's jit may keep them for the next time, or nobody may. They are freed when the garbage collector finds that
 * nobody does. This holds for those that become constants of the program; each must be read through the second result,
 * which gives another array of the same content that the reader may use up.
 */
export function freeingNewArrays<Result>(body: () => Result): [Result, (array: jax.Array) => jax.Array] {
  const within = storage();
  const made = new Set<number>();
  const { malloc } = within;
  within.malloc = (...given) => {
    const slot = malloc.apply(within, given);
    made.add(slot);
    return slot;
  };
  try {
    return [body(), (array) => sharing(array, within, made)];
  } finally {
    within.malloc = malloc;
  }
}

function sharing(array: jax.Array, storage: Storage, made: ReadonlySet<number>): jax.Array {
  const { incRef } = storage;
  let slot: number | undefined;
  storage.incRef = (given) => {
    slot = given;
    incRef.call(storage, given);
  };
  try {
    const other = array.ref.reshape(array.shape);
    if (slot !== undefined && made.has(slot) && !watched.has(array))
      watch(array, { storage, slot, isFreed: false });
    return other;
  } finally {
    storage.incRef = incRef;
  }
}

const watched = new WeakSet<jax.Array>();

function watch(array: jax.Array, share: Share): void {
  watched.add(array);
  abandoned.register(array, share);
  Object.defineProperty(array, "dispose", {
    configurable: true,
    value(this: jax.Array) {
      jax.Array.prototype.dispose.call(this);
      share.isFreed = this.refCount === 0;
    },
  });
}
