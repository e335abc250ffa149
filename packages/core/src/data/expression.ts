import { add, divide, multiply, parseDecimal, type Rational, rational, subtract } from "./rational.js";

/** An expression is at most so long, and so deeply nested. */
const maxLength = 2000;
const maxDepth = 50;

/**
 * The exact value of an arithmetic expression: decimals, + - * / and parentheses, also × x ÷ and −, a percent sign after
 * a number, and dollar signs and commas inside numbers, which mean nothing. Undefined where it is no such expression or
 * divides by 0.
 */
export function evaluateExpression(text: string): Rational | undefined {
  if (text.length > maxLength) return undefined;
  const tokens = tokenize(text);
  if (tokens === undefined || tokens.length === 0) return undefined;
  let at = 0;

  const sum = (depth: number): Rational | undefined => {
    let left = product(depth);
    while (left !== undefined && (tokens[at] === "+" || tokens[at] === "-")) {
      const operate = tokens[at++] === "+" ? add : subtract;
      const right = product(depth);
      left = right && operate(left, right);
    }
    return left;
  };
  const product = (depth: number): Rational | undefined => {
    let left = signed(depth);
    while (left !== undefined && (tokens[at] === "*" || tokens[at] === "/")) {
      const operate = tokens[at++] === "*" ? multiply : divide;
      const right = signed(depth);
      left = right && operate(left, right);
    }
    return left;
  };
  const signed = (depth: number): Rational | undefined => {
    let sign = 1n;
    while (tokens[at] === "-" || tokens[at] === "+") if (tokens[at++] === "-") sign = -sign;
    const value = primary(depth);
    return value && multiply(rational(sign), value);
  };
  const primary = (depth: number): Rational | undefined => {
    let value: Rational | undefined;
    if (tokens[at] === "(") {
      at++;
      value = depth < maxDepth ? sum(depth + 1) : undefined;
      if (tokens[at++] !== ")") return undefined;
    } else value = parseDecimal(tokens[at++] ?? "");
    while (value !== undefined && tokens[at] === "%") {
      at++;
      value = divide(value, rational(100n));
    }
    return value;
  };

  const value = sum(0);
  return at === tokens.length ? value : undefined;
}

function tokenize(text: string): string[] | undefined {
  const plain = text
    .replace(/[×xX]/g, "*")
    .replace(/÷/g, "/")
    .replace(/[−–]/g, "-")
    .replace(/\$/g, "")
    .replace(/(\d),(?=\d{3}(?!\d))/g, "$1");
  const tokens = plain.match(/\d+\.?\d*|\.\d+|[-+*/()%]|\S/g) ?? [];
  return tokens.every((token) => /^(?:\d+\.?\d*|\.\d+|[-+*/()%])$/.test(token)) ? tokens : undefined;
}
