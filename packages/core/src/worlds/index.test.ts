import { expect, test } from "vitest";
import { UserError } from "../errors.js";
import { worldNamed, worlds } from "./index.js";

test.each(worlds.map(({ name }) => name))("%s shows the same sample for the same seed", (name) => {
  const world = worldNamed(name);
  const { config, sample } = world.show({}, 1);
  expect(sample.startsWith(`${name}: `)).toBe(true);
  expect(sample.split("\n").length).toBeGreaterThan(3);
  expect(world.show({}, 1)).toEqual({ config, sample });
  expect(world.show({}, 2).sample).not.toBe(sample);
  // The knobs that a list shows are those that a world is made with.
  expect(Object.keys(world.knobs.properties as object).sort()).toEqual(Object.keys(config).sort());
});

test("an unknown world is refused with the nearest", () => {
  expect(() => worldNamed("arith-chian")).toThrow(UserError);
  expect(() => worldNamed("arith-chian")).toThrow('did you mean "arith-chain"');
});
