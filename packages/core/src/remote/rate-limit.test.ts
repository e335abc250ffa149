import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RateLimit } from "./rate-limit.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});
const never = new AbortController().signal;

test("no minute has more than allowed, wherever it begins, and nothing waits without need", async () => {
  const limit = new RateLimit(10);
  const taken: { at: number; amount: number }[] = [];
  const amounts = [4, 4, 4, 1, 9, 10, 3, 25, 2, 2, 2];
  const all = Promise.all(
    amounts.map(async (amount) => {
      await limit.take(amount, never);
      taken.push({ at: performance.now(), amount });
    }),
  );
  await vi.advanceTimersByTimeAsync(20 * 60_000);
  await all;
  expect(taken.map(({ amount }) => amount)).toEqual(amounts);
  for (const { at } of taken) {
    const within = taken.filter((one) => one.at > at - 60_000 && one.at <= at);
    const total = within.reduce((sum, one) => sum + one.amount, 0);
    // More than a minute's worth goes alone.
    if (within.length > 1) expect(total).toBeLessThanOrEqual(10);
  }
  const minutes = taken.map(({ at }) => Math.floor((at - taken[0].at) / 59_000));
  expect(minutes).toEqual([0, 0, 1, 1, 2, 3, 4, 5, 6, 6, 6]);
});

test("an amount that turns out smaller leaves room", async () => {
  const limit = new RateLimit(10);
  const correct = await limit.take(10, never);
  correct(2);
  await limit.take(8, never);
  let done = false;
  void limit.take(1, never).then(() => {
    done = true;
  });
  await vi.advanceTimersByTimeAsync(59_000);
  expect(done).toBe(false);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(done).toBe(true);
});
