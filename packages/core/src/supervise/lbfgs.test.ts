import { expect, test } from "vitest";
import { createRandom } from "../random.js";
import { minimise, type Objective } from "./lbfgs.js";

test("finds the minimum of an ill-conditioned quadratic", () => {
  const scales = Float64Array.from({ length: 30 }, (_, i) => 10 ** (i / 10));
  let evaluations = 0;
  const objective: Objective = (x, gradient) => {
    evaluations++;
    let value = 0;
    for (let i = 0; i < x.length; i++) {
      gradient[i] = scales[i] * (x[i] - i);
      value += (scales[i] * (x[i] - i) ** 2) / 2;
    }
    return value;
  };
  const result = minimise(objective, new Float64Array(30), { tolerance: 1e-8 });
  expect(result.converged).toBe(true);
  expect(evaluations).toBeLessThan(600);
  result.point.forEach((x, i) => {
    expect(x).toBeCloseTo(i, 6);
  });
});

test("finds the minimum of a sum of log-cosh, whose curvature changes", () => {
  const shifts = createRandom("lbfgs").normals(20, 5);
  const objective: Objective = (x, gradient) => {
    let value = 0;
    for (let i = 0; i < x.length; i++) {
      gradient[i] = Math.tanh(x[i] - shifts[i]);
      value += Math.log(Math.cosh(x[i] - shifts[i]));
    }
    return value;
  };
  const { point, value, iterations } = minimise(objective, new Float64Array(20));
  expect(value).toBeLessThan(1e-9);
  expect(iterations).toBeLessThan(100);
  point.forEach((x, i) => {
    expect(x).toBeCloseTo(shifts[i], 4);
  });
});

test("at the minimum it takes no step; short of iterations it says that it has not converged", () => {
  const objective: Objective = (x, gradient) => {
    gradient[0] = 4 * x[0] ** 3;
    return x[0] ** 4;
  };
  expect(minimise(objective, Float64Array.of(0))).toMatchObject({ iterations: 0, converged: true });
  const short = minimise(objective, Float64Array.of(3), { maxIterations: 2 });
  expect(short).toMatchObject({ iterations: 2, converged: false });
  expect(short.value).toBeLessThan(81);
});
