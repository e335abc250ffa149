import { createRandom } from "outgrow";
import { describe, expect, test } from "vitest";
import { trainStumps } from "./models.js";
import { normalQuantile, PeopleWorld, peopleWorldSchema } from "./world.js";

const random = createRandom("weak-proxies/world");
const world = new PeopleWorld(peopleWorldSchema.parse({}), random.stream("world"));
const count = 8000;
const people = world.draw(count, random.stream("people"));
const predicted = Int32Array.from(people.group, () => random.integer(2));
const names = { accuracy: 0.73, outsidePrior: 0.5, shared: 0, dependence: 0 };

/** Share of the rows on which a proxy is right, out of those that `of` picks. */
const right = (proxy: Int32Array, of: (row: number) => boolean = () => true) => {
  const rows = Array.from(proxy.keys()).filter(of);
  return rows.filter((row) => proxy[row] === people.group[row]).length / rows.length;
};
const agree = (a: Int32Array, b: Int32Array) => a.filter((z, i) => z === b[i]).length / count;

test("quantiles of the normal distribution", () => {
  expect(normalQuantile(0.5)).toBeCloseTo(0, 10);
  expect(normalQuantile(0.975)).toBeCloseTo(1.959964, 6);
});

describe("proxies", () => {
  test("have the asked accuracy and err independently: they agree as often as p^2 + (1 - p)^2", () => {
    const { columns } = world.proxies(people, predicted, names, random.stream("plain"));
    for (const column of columns) expect(Math.abs(right(column) - 0.73)).toBeLessThan(0.025);
    expect(Math.abs(agree(columns[0], columns[1]) - (0.73 ** 2 + 0.27 ** 2))).toBeLessThan(0.03);
  });

  test("that share all noise err together", () => {
    const { columns } = world.proxies(people, predicted, { ...names, shared: 1 }, random.stream("shared"));
    expect(agree(columns[0], columns[1])).toBeGreaterThan(0.93);
  });

  test("that lean towards the prediction are right more often where it names the group", () => {
    const [proxy] = world.proxies(
      people,
      predicted,
      { ...names, dependence: 0.1 },
      random.stream("lean"),
    ).columns;
    const isNamed = (row: number) => predicted[row] === people.group[row];
    expect(Math.abs(right(proxy, isNamed) - 0.83)).toBeLessThan(0.03);
    expect(Math.abs(right(proxy, (row) => !isNamed(row)) - 0.63)).toBeLessThan(0.03);
  });

  test("of another population err at unequal rates", () => {
    const [proxy] = world.proxies(
      people,
      predicted,
      { ...names, outsidePrior: 0.3 },
      random.stream("prior"),
    ).columns;
    const [zero, one] = [0, 1].map((a) => right(proxy, (row) => people.group[row] === a));
    expect(zero - one).toBeGreaterThan(0.25);
  });
});

test("one stump finds the feature and the threshold of a step; many learn an interval", async () => {
  const features = random.stream("x").normals(2 * 2000);
  const of = (rule: (x: number, z: number) => boolean) =>
    Int32Array.from({ length: 2000 }, (_, i) => Number(rule(features[2 * i], features[2 * i + 1])));
  const accuracy = async (labels: Int32Array, rounds: number) => {
    const found = await trainStumps({ features, width: 2, labels }, rounds)(features);
    return found.filter((k, i) => k === labels[i]).length / 2000;
  };
  expect(
    await accuracy(
      of((_, z) => z > 0),
      1,
    ),
  ).toBeGreaterThan(0.97);
  const interval = of((x) => Math.abs(x) < 0.6);
  expect(await accuracy(interval, 1)).toBeLessThan(0.8);
  expect(await accuracy(interval, 30)).toBeGreaterThan(0.95);
});
