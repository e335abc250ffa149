import { describe, expect, test } from "vitest";
import { digamma, dirichletFromUniform, logGamma, trigamma } from "./gamma-function.js";

const EULER = 0.5772156649015329;
const somewhere = [1e-3, 0.3, 1, 1.5, 2.7, 6, 9.99, 10, 31.4, 1234.5];
/** To so many digits of the greater one of 1 and the number. */
const close = (given: number, expected: number) =>
  expect(Math.abs(given - expected) / Math.max(1, Math.abs(expected))).toBeLessThan(1e-13);

describe("the gamma function", () => {
  test("at whole numbers is the factorial, at halves has the root of pi", () => {
    let factorial = 1;
    for (let n = 1; n <= 20; n++) {
      close(logGamma(n), Math.log(factorial));
      factorial *= n;
    }
    close(logGamma(0.5), Math.log(Math.PI) / 2);
    close(logGamma(0.25) + logGamma(0.75), Math.log(Math.PI / Math.sin(Math.PI / 4)));
  });

  test("doubles as Legendre has it", () => {
    for (const x of somewhere) {
      const right = (1 - 2 * x) * Math.log(2) + Math.log(Math.PI) / 2 + logGamma(2 * x);
      close(logGamma(x) + logGamma(x + 0.5), right);
    }
  });

  test("has the derivatives of known places, and reflects", () => {
    close(digamma(1), -EULER);
    close(digamma(0.5), -EULER - 2 * Math.log(2));
    close(digamma(0.25), -EULER - Math.PI / 2 - 3 * Math.log(2));
    close(trigamma(1), Math.PI ** 2 / 6);
    close(trigamma(0.5), Math.PI ** 2 / 2);
    for (const x of [0.1, 0.37, 0.8]) {
      close(digamma(1 - x) - digamma(x), Math.PI / Math.tan(Math.PI * x));
      close(trigamma(1 - x) + trigamma(x), (Math.PI / Math.sin(Math.PI * x)) ** 2);
    }
  });

  test("has derivatives that double too", () => {
    for (const x of somewhere) {
      close((digamma(x) + digamma(x + 0.5)) / 2 + Math.log(2), digamma(2 * x));
      close((trigamma(x) + trigamma(x + 0.5)) / 4, trigamma(2 * x));
    }
  });

  test("is of numbers above 0", () => {
    for (const own of [logGamma, digamma, trigamma]) {
      expect(() => own(0)).toThrow("numbers above 0, given: 0");
      expect(() => own(Number.NaN)).toThrow("given: NaN");
    }
  });
});

describe("a Dirichlet distribution's divergence from the uniform one", () => {
  test("is 0 for itself", () => {
    expect(dirichletFromUniform([1, 1, 1, 1])).toBeCloseTo(0, 13);
  });

  test("is the integral over the density, in two dimensions", () => {
    // Beta(2, 3): density 12 x (1 - x)^2.
    let integral = 0;
    const steps = 200_000;
    for (let i = 0; i < steps; i++) {
      const x = (i + 0.5) / steps;
      const density = 12 * x * (1 - x) ** 2;
      integral += (density * Math.log(density)) / steps;
    }
    expect(dirichletFromUniform([2, 3])).toBeCloseTo(integral, 8);
  });
});
