import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  broadcastTo,
  broadcastView,
  contiguousView,
  mergeNeighbours,
  product,
  refine,
  reshapeView,
  scalarView,
  shapeOf,
  sizes,
  transposeView,
  type View,
} from "./view.js";

/** A written-out array: the reference that views are held against. */
interface Dense {
  shape: readonly number[];
  data: readonly number[];
}

const indicesOf = (shape: readonly number[]): number[][] =>
  shape.reduce<number[][]>(
    (prefixes, size) => prefixes.flatMap((prefix) => Array.from({ length: size }, (_, i) => [...prefix, i])),
    [[]],
  );

/** Makes an array of `shape` whose element at an index is `source` at `from(index)`. */
function dense(shape: readonly number[], source: Dense, from: (index: readonly number[]) => number[]): Dense {
  const data = indicesOf(shape).map((index) => {
    const offset = from(index).reduce((sum, i, axis) => sum * source.shape[axis] + i, 0);
    return source.data[offset];
  });
  return { shape, data };
}

/** Reads a buffer that counts 0, 1, 2, ... through a view, one element at a time. */
function readThrough(view: View): Dense {
  const strides = new Map(
    view.physical.map((factor, i) => [factor, product(sizes(view.physical.slice(i + 1)))]),
  );
  const shape = shapeOf(view);
  const data = indicesOf(shape).map((index) =>
    view.axes.reduce((offset, factors, axis) => {
      let rest = index[axis];
      for (const factor of [...factors].reverse()) {
        if (factor.real) offset += (rest % factor.size) * (strides.get(factor) as number);
        rest = Math.floor(rest / factor.size);
      }
      return offset;
    }, 0),
  );
  return { shape, data };
}

/** Every real factor stands once in the buffer and once in the axes; no factor has length 1. */
function expectWellFormed(view: View): void {
  const inAxes = view.axes.flat();
  const real = inAxes.filter((factor) => factor.real);
  expect(new Set(inAxes).size).toBe(inAxes.length);
  expect(new Set(view.physical).size).toBe(view.physical.length);
  expect(new Set(real)).toEqual(new Set(view.physical));
  expect(view.physical.every((factor) => factor.real)).toBe(true);
  expect(inAxes.every((factor) => Number.isInteger(factor.size) && factor.size > 1)).toBe(true);
}

/** A step: an operation, and numbers that its details are drawn from once the shape is known. */
type Step = readonly ["reshape" | "transpose" | "broadcast" | "merge", readonly number[]];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom("reshape", "transpose", "broadcast", "merge"),
  fc.array(fc.nat(1000), { minLength: 8, maxLength: 8 }),
);
const shapes = fc.array(fc.constantFrom(1, 2, 3, 4, 6), { maxLength: 4 });

const shuffled = (count: number, draws: readonly number[]): number[] => {
  const left = Array.from({ length: count }, (_, i) => i);
  return draws.slice(0, count).flatMap((draw) => left.splice(draw % left.length, 1));
};

/** A shape of the same size: its prime factors dealt out to up to four axes, in order. */
function otherShape(shape: readonly number[], draws: readonly number[]): number[] {
  const primes: number[] = [];
  for (let rest = product(shape), p = 2; rest > 1; p++) for (; rest % p === 0; rest /= p) primes.push(p);
  const order = shuffled(primes.length, [...draws, ...draws]).map((i) => primes[i]);
  const result = new Array(1 + (draws[7] % 4)).fill(1);
  order.forEach((prime, i) => {
    result[Math.floor((i * result.length) / order.length)] *= prime;
  });
  return result.length === 1 && result[0] === 1 ? [] : result;
}

/** Applies a step to a view and to the array that it stands for; null where the view says that it cannot. */
function apply([kind, draws]: Step, view: View, array: Dense): [View, Dense] | null {
  const { shape } = array;
  if (kind === "merge") return [mergeNeighbours(view), array];
  if (kind === "reshape") {
    const next = otherShape(shape, draws);
    const reshaped = reshapeView(view, next);
    return reshaped && [reshaped, { shape: next, data: array.data }];
  }
  if (kind === "transpose") {
    const perm = shuffled(shape.length, draws);
    const moved = perm.map((axis) => shape[axis]);
    return [
      transposeView(view, perm),
      dense(moved, array, (index) => shape.map((_, axis) => index[perm.indexOf(axis)])),
    ];
  }
  const axis = draws[0] % (shape.length + 1);
  const grown = shape.map((size, i) => (size === 1 ? 1 + (draws[i + 1] % 3) : size));
  const next = grown.toSpliced(axis, 0, 1 + (draws[6] % 3));
  if (product(next) > 2000 || next.length > 6) return [view, array];
  return [
    broadcastView(view, next, [axis]),
    dense(next, array, (index) => index.toSpliced(axis, 1).map((i, k) => (shape[k] === 1 ? 0 : i))),
  ];
}

/** Runs a list of steps from a contiguous array of `shape`. */
function follow(shape: readonly number[], steps: readonly Step[], visit: (view: View, array: Dense) => void) {
  let view = contiguousView(shape);
  let array: Dense = { shape, data: indicesOf(shape).map((_, i) => i) };
  for (const next of steps) {
    const result = apply(next, view, array);
    if (result) [view, array] = result;
    visit(view, array);
  }
  return { view, array };
}

describe("views", () => {
  it("read a buffer as the operations would have written it", () => {
    fc.assert(
      fc.property(shapes, fc.array(step, { maxLength: 8 }), (shape, steps) => {
        follow(shape, steps, (view, array) => {
          expectWellFormed(view);
          expect(readThrough(view)).toEqual(array);
        });
      }),
      { numRuns: 1000 },
    );
  });

  it("of row-major buffers take every shape of the same size", () => {
    fc.assert(
      fc.property(shapes, fc.array(fc.nat(1000), { minLength: 8, maxLength: 8 }), (shape, draws) => {
        expect(reshapeView(contiguousView(shape), otherShape(shape, draws))).not.toBeNull();
        expect(reshapeView(scalarView(shape), otherShape(shape, draws))).not.toBeNull();
      }),
    );
  });

  it("split and join repeated axes without writing them out", () => {
    const repeated = broadcastView(contiguousView([4]), [6, 4], [0]);
    const split = reshapeView(repeated, [2, 3, 2, 2]) as View;
    expect(sizes(split.physical)).toEqual([2, 2]);
    const joined = reshapeView(split, [24]) as View;
    expect(joined.axes[0].map(({ size, real }) => [size, real])).toEqual([
      [6, false],
      [4, true],
    ]);
  });

  it("refuse a reshape whose parts would mix a repetition with data", () => {
    expect(reshapeView(broadcastView(contiguousView([2]), [2, 3], [1]), [3, 2])).toBeNull();
    expect(reshapeView(contiguousView([2, 3]), [3, 2])).not.toBeNull();
    expect(reshapeView(transposeView(contiguousView([3, 2]), [1, 0]), [3, 2])).toBeNull();
  });

  it("become one factor an axis where neighbours lie in order, and stay apart where they do not", () => {
    const split = reshapeView(contiguousView([24]), [2, 3, 4]) as View;
    const apart = reshapeView(transposeView(split, [1, 0, 2]), [6, 4]) as View;
    expect(apart.axes.map((axis) => axis.length)).toEqual([2, 1]);
    const together = reshapeView(transposeView(split, [2, 0, 1]), [4, 6]) as View;
    expect(together.axes.map((axis) => axis.length)).toEqual([1, 1]);
    expect(sizes(together.physical)).toEqual([6, 4]);
  });

  it("broadcast as NumPy does: new axes in front, lengths of 1 grow", () => {
    const view = broadcastTo(contiguousView([3, 1]), [2, 3, 4]);
    expect(readThrough(view)).toEqual({
      shape: [2, 3, 4],
      data: [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
    });
  });
});

describe("mergeNeighbours", () => {
  it("leaves no two factors that could be one", () => {
    fc.assert(
      fc.property(shapes, fc.array(step, { maxLength: 6 }), (shape, steps) => {
        const { view } = follow(shape, steps, () => {});
        const merged = mergeNeighbours(view);
        for (const axis of merged.axes) {
          axis.slice(1).forEach((factor, i) => {
            const before = axis[i];
            const adjacent = merged.physical.indexOf(before) + 1 === merged.physical.indexOf(factor);
            expect(factor.real === before.real && (!factor.real || adjacent)).toBe(false);
          });
        }
      }),
    );
  });
});

describe("refine", () => {
  it("cuts several views of one shape alike and leaves what they read unchanged", () => {
    let refined = 0;
    fc.assert(
      fc.property(
        shapes,
        fc.array(fc.array(step, { maxLength: 6 }), { minLength: 3 }),
        (shape, histories) => {
          const all = histories.map((steps) => follow(shape, steps, () => {}));
          // Views of one shape: bring each to the size of the first, where that is possible.
          const target = all[0].array.shape;
          const alike = all.flatMap(({ view, array }) => {
            if (product(array.shape) !== product(target)) return [];
            const view2 = reshapeView(view, target);
            return view2 ? [{ view: view2, array: { shape: target, data: array.data } }] : [];
          });
          const views = refine(alike.map(({ view }) => view));
          if (views === null) return;
          refined++;
          views.forEach((view, i) => {
            expectWellFormed(view);
            expect(readThrough(view)).toEqual(alike[i].array);
            expect(view.axes.map(sizes)).toEqual(views[0].axes.map(sizes));
          });
        },
      ),
      { numRuns: 500 },
    );
    expect(refined).toBeGreaterThan(200);
  });

  it("gives up where the cuts of an axis do not divide one another", () => {
    const cut = (parts: readonly number[]) =>
      reshapeView(transposeView(contiguousView(parts), [1, 0]), [6]) as View;
    expect(refine([cut([2, 3]), cut([3, 2])])).toBeNull();
    expect(refine([cut([2, 3]), cut([2, 3]), contiguousView([6])])).not.toBeNull();
  });
});
