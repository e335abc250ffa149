import { expect, test } from "vitest";
import { agreement } from "./agreement.js";

test("agreement is split by whether the supervisor is right", () => {
  const result = agreement({
    student: Int32Array.of(0, 0, 1, 1, 2),
    supervisor: Int32Array.of(0, 1, 1, 0, 2),
    truth: Int32Array.of(0, 1, 1, 1, 0),
  });
  expect(result.overall).toEqual({ value: 3 / 5, count: 5 });
  expect(result.whenSupervisorRight).toEqual({ value: 2 / 3, count: 3 });
  expect(result.whenSupervisorWrong).toEqual({ value: 1 / 2, count: 2 });
});

test("agreement on an empty group is undefined, with the reason and a count of 0", () => {
  const same = Int32Array.of(0, 1);
  const result = agreement({ student: same, supervisor: same, truth: same });
  expect(result.whenSupervisorRight).toEqual({ value: 1, count: 2 });
  expect(result.whenSupervisorWrong).toEqual({
    value: null,
    reason: "the supervisor is wrong on no example",
    count: 0,
  });
});

test("agreement refuses columns of different lengths", () => {
  const [student, supervisor, truth] = [new Int32Array(2), new Int32Array(2), new Int32Array(1)];
  expect(() => agreement({ student, supervisor, truth })).toThrow("truth 1");
});
