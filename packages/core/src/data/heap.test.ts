import fc from "fast-check";
import { expect, test } from "vitest";
import { Heap } from "./heap.js";

test("items are popped in order, with pushes in between", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.integer())), (batches) => {
      const heap = new Heap<number>((a, b) => a < b);
      const waiting: number[] = [];
      const expectNext = () => {
        waiting.sort((a, b) => a - b);
        expect(heap.pop()).toBe(waiting.shift());
      };
      for (const batch of batches) {
        for (const item of batch) {
          heap.push(item);
          waiting.push(item);
        }
        expectNext();
      }
      while (waiting.length > 0) expectNext();
      expect(heap.pop()).toBeUndefined();
    }),
  );
});
