import { expect, test } from "vitest";
import { UserError } from "../errors.js";
import { crossEntropy } from "../train/loss.js";
import { methodNamed, methods } from "./index.js";

const soft = { values: new Float32Array(64 * 2).fill(0.5), shape: [64, 2] as [number, number] };

test("methods have different names, and are found by them", () => {
  expect(new Set(methods.map(({ name }) => name)).size).toBe(methods.length);
  for (const method of methods) {
    expect(methodNamed(method.name)).toBe(method);
    expect(method.summary && method.source).toBeTruthy();
    expect(method.loss(soft, 32)).toBeInstanceOf(Function);
  }
});

test("the naive method is cross-entropy", () => {
  expect(methodNamed("naive").loss(soft, 32)).toBe(crossEntropy);
});

test("an unknown name is refused with the nearest one and a list of all", () => {
  let error: unknown;
  try {
    methodNamed("confidense");
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(UserError);
  const { message, hint, exitCode } = error as UserError;
  expect(message).toContain('"confidense"');
  expect(hint).toContain('Did you mean "confidence"?');
  for (const { name } of methods) expect(hint).toContain(`"${name}"`);
  expect(exitCode).toBe(2);
});
