import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.js";
import { createRandom } from "../random.js";
import { mixedOrder } from "./mixing.js";

const random = createRandom(1);

describe("mixedOrder", () => {
  test("keeps every share but for a row, at every moment", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 200 }),
        (parts, total) => {
          const sum = parts.reduce((a, b) => a + b, 0);
          const sources = parts.map((part) => ({ count: 1, share: part / sum }));
          const counts = parts.map(() => 0);
          mixedOrder(sources, total, random).forEach((row, n) => {
            counts[row]++;
            counts.forEach((count, i) => {
              expect(Math.abs(count - sources[i].share * (n + 1))).toBeLessThan(parts.length < 3 ? 1 : 1.5);
            });
          });
        },
      ),
    );
  });

  test("a share below a row of a batch is exact in the long run", () => {
    const order = mixedOrder(
      [
        { count: 7, share: 0.995 },
        { count: 3, share: 0.005 },
      ],
      1000,
      random,
    );
    expect(order.filter((row) => row >= 7)).toHaveLength(5);
  });

  test("takes each row of a source once before it begins again", () => {
    const order = mixedOrder([{ count: 5, share: 1 }], 15, random);
    for (const first of [0, 5, 10]) {
      expect([...order.subarray(first, first + 5)].sort()).toEqual([0, 1, 2, 3, 4]);
    }
    expect([...order.subarray(0, 5)]).not.toEqual([...order.subarray(5, 10)]);
  });

  test("replays a source in its own order where that is asked", () => {
    const order = mixedOrder(
      [
        { count: 4, share: 0.5 },
        { count: 3, share: 0.5, order: "given" },
      ],
      10,
      random,
    );
    expect(order.filter((row) => row >= 4)).toEqual(Int32Array.of(4, 5, 6, 4, 5));
  });

  test("refuses shares that are not shares", () => {
    const mix =
      (...shares: number[]) =>
      () =>
        mixedOrder(
          shares.map((share, i) => ({ count: i, share })),
          4,
          random,
        );
    expect(mix(0.5, 0.4)).toThrow(UserError);
    expect(mix(-0.5, 1.5)).toThrow("the shares of the sources are -0.5, 1.5");
    expect(mix(0.5, 0.5)).toThrow("source 1 has a share of 0.5 but no rows");
  });
});
