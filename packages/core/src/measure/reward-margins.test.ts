import { describe, expect, test } from "vitest";
import { createRandom } from "../random.js";
import { rewardMeasures } from "./reward-margins.js";

describe("rewardMeasures", () => {
  test("accuracy counts ties half, the margin is a mean", () => {
    const { accuracy, margin } = rewardMeasures(Float32Array.of(2, 1, 0, 3), Float32Array.of(1, 1, 2, 0));
    expect(accuracy).toEqual({ value: 2.5 / 4 });
    expect(margin).toEqual({ value: (1 + 0 - 2 + 3) / 4 });
  });

  test("pairs that Bradley and Terry's model drew itself are calibrated, and doubled margins are overconfident", () => {
    const random = createRandom(3);
    const margins = Array.from(random.normals(4000, 2), (margin) =>
      random.uniform() < 1 / (1 + Math.exp(-margin)) ? margin : -margin,
    );
    const error = (scale: number) =>
      rewardMeasures(
        Float32Array.from(margins, (x) => scale * x),
        new Float32Array(4000),
      ).calibration.expectedCalibrationError.value;
    expect(error(1)).toBeLessThan(0.03);
    expect(error(3)).toBeGreaterThan(0.08);
  });

  test("no pairs have no accuracy", () => {
    const { accuracy, margin } = rewardMeasures(new Float32Array(0), new Float32Array(0));
    expect(accuracy).toEqual({ value: null, reason: "no pairs" });
    expect(margin.value).toBeNull();
  });
});
