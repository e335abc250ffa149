import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import type { SoftLabels } from "../data/soft-labels.js";
import { createRandom } from "../random.js";
import { largestComponent, nearestNeighbours } from "../supervise/neighbours.js";
import { methodNamed } from "./index.js";
import { learn } from "./method.js";
import { filterByProbe, filterByTopology, knnProbe, logisticProbe } from "./probes.js";

const random = createRandom("probes");

/** Two far clouds of points, one for each class; the labels of every 20th point are wrong. */
function clouds(count: number, wrongEvery = 20) {
  const data = random.stream("points").normals(count * 3);
  const labels = new Float32Array(count * 2);
  const wrong: number[] = [];
  for (let i = 0; i < count; i++) {
    const own = i % 2;
    data[i * 3] += 20 * own;
    const isWrong = i % wrongEvery === 7;
    if (isWrong) wrong.push(i);
    const said = isWrong ? 1 - own : own;
    labels[i * 2 + said] = 0.9;
    labels[i * 2 + 1 - said] = 0.1;
  }
  return {
    features: new Tensor(data, [count, 3]),
    labels: { values: labels, shape: [count, 2] } as SoftLabels,
    wrong,
  };
}

describe("nearest neighbours", () => {
  test.each([true, false])("are those of a slow reference; a point its own: %s", async (self) => {
    const [count, width, k] = [1203, 4, 7]; // not a whole number of blocks
    const features = new Tensor(random.stream("near").normals(count * width), [count, width]);
    const near = await nearestNeighbours(features, k, { self });
    for (const point of [0, 1, 499, 500, 1202]) {
      const distance = (other: number) => {
        let sum = 0;
        for (let d = 0; d < width; d++) {
          sum += (features.data[point * width + d] - features.data[other * width + d]) ** 2;
        }
        return sum;
      };
      const others = Array.from({ length: count }, (_, i) => i).filter((i) => self || i !== point);
      const expected = others.sort((a, b) => distance(a) - distance(b)).slice(0, k);
      expect([...near.subarray(point * k, (point + 1) * k)]).toEqual(expected);
    }
  });

  test("more than there are points are refused", async () => {
    const features = new Tensor(new Float32Array(6), [3, 2]);
    await expect(nearestNeighbours(features, 3, { self: false })).rejects.toThrow("3 neighbours of 3 points");
  });
});

describe("the largest strongly connected component", () => {
  test.each([
    ["a ring with a tail", [[1], [2], [0], [0], [3]], [0, 1, 2]],
    ["the larger of two rings", [[1], [0], [3], [4], [2]], [2, 3, 4]],
    ["of equals that with the lowest point", [[1], [0], [3], [2]], [0, 1]],
    ["points alone", [[], [0], [1]], [0]],
    ["joined rings", [[1], [2], [0, 3], [4], [3]], [0, 1, 2]],
  ])("%s", (_, edges, expected) => {
    expect([...largestComponent(edges)]).toEqual(expected);
  });

  test("of a chain longer than the stack of calls", () => {
    const count = 100_000;
    const ring = Array.from({ length: count }, (_, i) => [(i + 1) % count]);
    expect(largestComponent(ring).length).toBe(count);
  });
});

describe("probes", () => {
  test("put right what stands alone among other labels", async () => {
    const { features, labels, wrong } = clouds(400);
    for (const probe of [knnProbe, logisticProbe]) {
      const { values } = await probe(features, labels);
      for (const i of wrong) expect(values[i * 2 + (i % 2)]).toBeGreaterThan(0.5);
    }
  });

  test("drop exactly the asked share, and first what is wrong", async () => {
    const { features, labels, wrong } = clouds(400);
    for (const { rows, labels: kept } of [
      await filterByProbe(knnProbe, features, labels, 0.1),
      await filterByProbe(logisticProbe, features, labels, 0.1),
      await filterByTopology(features, labels, 0.1),
    ]) {
      expect(rows?.length).toBe(360);
      expect(kept.shape).toEqual([360, 2]);
      for (const i of wrong) expect(rows?.includes(i)).toBe(false);
      expect([...(rows as Int32Array)]).toEqual([...(rows as Int32Array)].sort((a, b) => a - b));
      expect(kept.values[0]).toBe(labels.values[(rows as Int32Array)[0] * 2]);
    }
  });

  test("a class with one example, or none, is kept as it is", async () => {
    const { features } = clouds(60);
    const values = new Float32Array(120);
    for (let i = 0; i < 60; i++) values[i * 2 + (i === 5 ? 1 : 0)] = 1;
    const { rows } = await filterByTopology(features, { values, shape: [60, 2] }, 0);
    expect(rows?.includes(5)).toBe(true);
  });
});

test("a student of a student learns from the labels of the first", async () => {
  const given: SoftLabels = { values: Float32Array.of(1, 0), shape: [1, 2] };
  const seen: SoftLabels[] = [];
  const own: SoftLabels = { values: Float32Array.of(0.2, 0.8), shape: [1, 2] };
  const last = await learn(methodNamed("strong-to-strong"), given, {
    fit: async ({ labels }) => seen.push(labels),
    label: async () => own,
    features: async () => new Tensor(new Float32Array(1), [1, 1]),
  });
  expect(seen).toEqual([given, own]);
  expect(last).toBe(2);
});
