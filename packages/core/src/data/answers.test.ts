import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { extractAnswer, majorityVote, normaliseAnswer, sameAnswer } from "./answers.js";
import { evaluateExpression } from "./expression.js";
import { formatRational, rational } from "./rational.js";

describe("extractAnswer", () => {
  test.each([
    ["5 + 3 = 8\n#### 8", "8"],
    ["#### $1,234.50.", "$1,234.50"],
    ["52714#4", "4"],
    ["so \\boxed{\\frac{1}{2}} it is", "\\frac{1}{2}"],
    ["\\boxed{a {nested} one}", "a {nested} one"],
    ["The answer is: 42.", "42"],
    ["the answer is 42", "42"],
    ["Answer: yes", "yes"],
    ["He has 3.\nA: 18", "18"],
    ["I do not know 7", ""],
    ["####", ""],
    ["\\boxed{7", ""],
    ["", ""],
  ])("%j says %j", (text, answer) => expect(extractAnswer(text)).toBe(answer));

  test("of several answers the last counts, or the first", () => {
    const text = "#### 1\nThe answer is 2\n\\boxed{3} then more";
    expect(extractAnswer(text)).toBe("3");
    expect(extractAnswer(text, { pick: "first" })).toBe("1");
    expect(extractAnswer(text, { formats: ["hash", "phrase"] })).toBe("2");
  });

  test("a last number counts only where nothing else is said", () => {
    const formats = ["hash", "last-number"] as const;
    expect(extractAnswer("12 of 1,300 and -4.5% left", { formats })).toBe("-4.5%");
    expect(extractAnswer("#### 5\nand 12", { formats })).toBe("5");
    expect(extractAnswer("none", { formats })).toBe("");
  });
});

describe("sameAnswer", () => {
  test.each([
    ["18", "18.0"],
    ["1,234", "$1234"],
    ["1/2", "0.5"],
    ["\\frac{1}{2}", ".50"],
    ["\\dfrac{3}{4}", "3/4"],
    ["18 apples", "18"],
    ["50%", "50"],
    ["-3", "−3"],
    ["70000", "70,000."],
    ["1/3", "2/6"],
    ["Yes", " yes. "],
  ])("%j is %j", (a, b) => {
    expect(sameAnswer(a, b)).toBe(true);
    expect(normaliseAnswer(a)).toBe(normaliseAnswer(b));
  });
  test.each([
    ["18", "19"],
    ["0.33", "1/3"],
    ["", ""],
    ["", "0"],
    ["18 or 20", "18"],
    ["1/0", "1"],
    ["yes", "no"],
    ["3x", "3"],
  ])("%j is not %j", (a, b) => expect(sameAnswer(a, b)).toBe(false));

  test("is an equivalence of whatever is written", () => {
    const answer = fc.oneof(fc.string(), fc.integer().map(String), fc.double({ noNaN: true }).map(String));
    fc.assert(
      fc.property(answer, answer, (a, b) => {
        expect(sameAnswer(a, b)).toBe(sameAnswer(b, a));
        if (a.trim() !== "") expect(sameAnswer(a, a)).toBe(true);
        if (sameAnswer(a, b)) expect(normaliseAnswer(a)).toBe(normaliseAnswer(b));
      }),
    );
  });
});

describe("majorityVote", () => {
  test("counts answers that mean the same as one", () => {
    expect(majorityVote(["3", "4", "4.0", "$4", "3"])).toEqual({
      answer: "4",
      votes: 3,
      share: 0.6,
      tied: false,
    });
  });
  test("of several leaders the first given wins, or nobody", () => {
    expect(majorityVote(["b", "a", "a", "b", "c"])).toEqual({
      answer: "b",
      votes: 2,
      share: 0.4,
      tied: true,
    });
    expect(majorityVote(["b", "a"], { ties: "none" })).toMatchObject({ answer: "", tied: true });
  });
  test("no answer can win too", () => {
    expect(majorityVote(["", " ", "5"])).toMatchObject({ answer: "", votes: 2, tied: false });
    expect(() => majorityVote([])).toThrow(RangeError);
  });
});

describe("evaluateExpression", () => {
  const value = (text: string) => {
    const found = evaluateExpression(text);
    return found && formatRational(found);
  };
  test.each([
    ["16-3-4", "9"],
    ["2*(3+4)/7", "2"],
    ["$1,200 * 50%", "600"],
    ["10/3", "10/3"],
    ["0.1+0.2", "0.3"],
    ["-2 × -.5", "1"],
    ["7 ÷ 2", "3.5"],
    ["2 x 3", "6"],
    ["1/0", undefined],
    ["2(3)", undefined],
    ["1 +", undefined],
    ["(1", undefined],
    ["1 2", undefined],
    ["two", undefined],
    ["", undefined],
    [`${"(".repeat(200)}1${")".repeat(200)}`, undefined],
    ["9".repeat(3000), undefined],
  ])("%s is %s", (text, result) => expect(value(text)).toBe(result));

  test("agrees with JavaScript on whole numbers", () => {
    const expression = fc.letrec<{ e: string }>((tie) => ({
      e: fc.oneof(
        { maxDepth: 4 },
        fc.integer({ min: 0, max: 99 }).map(String),
        fc.tuple(tie("e"), fc.constantFrom("+", "-", "*"), tie("e")).map(([a, o, b]) => `(${a} ${o} ${b})`),
        fc.tuple(tie("e"), fc.constantFrom("+", "-", "*"), fc.nat(9)).map(([a, o, b]) => `${a}${o}${b}`),
      ),
    })).e;
    fc.assert(
      fc.property(expression, (text) => {
        // Only digits, operators and parentheses are in it.
        const expected: unknown = new Function(`return ${text.replace(/\d+/g, "$&n")}`)();
        expect(evaluateExpression(text)).toEqual(rational(expected as bigint));
      }),
    );
  });
});
