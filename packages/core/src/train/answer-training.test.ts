import fc from "fast-check";
import { expect, test } from "vitest";
import { namedTensors } from "../models/checkpoint.js";
import { createRandom } from "../random.js";
import { batchesOf } from "./answer-training.js";
import { preferenceTrain } from "./preference/preference-train.js";
import { tinyModel } from "./testing/tiny-model.js";

test("batches have each example once at most, leave out fewer than a batch, and are long enough for all that they have", () => {
  const shape = fc.record({ length: fc.constantFrom(16, 24, 32), answer: fc.constantFrom(4, 8, 16) });
  fc.assert(
    fc.property(
      fc.array(shape, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 8 }),
      (shapes, size) => {
        const batches = batchesOf(shapes, size, createRandom(shapes.length));
        const rows = batches.flatMap((batch) => [...batch.rows]);
        expect(new Set(rows).size).toBe(rows.length);
        expect(shapes.length - rows.length).toBeLessThan(size);
        for (const batch of batches) {
          expect(batch.rows).toHaveLength(size);
          for (const row of batch.rows) {
            expect(batch.shape.length).toBeGreaterThanOrEqual(shapes[row].length);
            expect(batch.shape.answer).toBeGreaterThanOrEqual(shapes[row].answer);
          }
        }
        // No more programs than there are lengths.
        expect(new Set(batches.map((batch) => JSON.stringify(batch.shape))).size).toBeLessThanOrEqual(
          new Set(shapes.map(({ length }) => length)).size,
        );
      },
    ),
  );
});

test("micro-batches take the steps of whole batches", async () => {
  const model = tinyModel();
  const pairs = ["ab", "cd", "efg", "h"].map((prompt) => ({ prompt, chosen: "xyz", rejected: prompt }));
  const course = { epochs: 2, batchSize: 4, learningRate: 1e-3 };
  const run = (microBatches?: number) =>
    preferenceTrain(model, pairs, { ...course, microBatches }, { random: createRandom(1) });
  const [whole, parts] = [await run(), await run(2)];
  for (const [i, { loss, margin }] of whole.steps.entries()) {
    expect(parts.steps[i].loss).toBeCloseTo(loss, 5);
    expect(parts.steps[i].margin).toBeCloseTo(margin, 4);
  }
  const expected = namedTensors(whole.model.params);
  for (const [name, { data }] of namedTensors(parts.model.params)) {
    const own = Float32Array.from(data);
    const difference = own.reduce(
      (most, x, i) => Math.max(most, Math.abs(x - Number(expected.get(name)?.data[i]))),
      0,
    );
    expect(difference, name).toBeLessThan(2e-4);
  }
  await expect(run(3)).rejects.toThrow("batches of 4 examples cannot be shared out among 3 micro-batches");
});
