import { createRandom } from "outgrow";
import { expect, test } from "vitest";
import { drawTwoPartImages, ImageMlp } from "./images.js";

test("bars tell the class where there are any, glyphs are ten times fainter", () => {
  const { images, labels } = drawTwoPartImages(40, 0.1, "bars");
  const bars = images.map((image) => image.subarray(0, 100));
  expect(bars.filter((half) => half.every((value) => value === 0)).length).toBe(4);
  bars.forEach((half, i) => {
    if (half.some((value) => value > 0)) expect(half[0]).toBe(labels[i] > 0 ? 1 : 0);
  });
  const brightest = Math.max(...images.flatMap((image) => [...image.subarray(100)]));
  expect(brightest).toBeGreaterThan(0.08);
  expect(brightest).toBeLessThan(0.2);
});

test("a step follows the gradient of the logistic loss, by central differences", () => {
  const { images, labels } = drawTwoPartImages(2, 0, "step");
  const fresh = () => new ImageMlp(200, 8, createRandom(1));
  const loss = (network: ImageMlp) => Math.log1p(Math.exp(-labels[0] * network.logit(images[0])));
  const [before, after, probed] = [fresh(), fresh(), fresh()];
  after.step(images[0], labels[0], 1);
  const vectors = ({ hidden, bias, output }: ImageMlp) => [...hidden, bias, output];
  vectors(probed).forEach((weights, v) => {
    for (const k of [0, 1, 5, weights.length - 1]) {
      const here = weights[k];
      const nudged = [1e-5, -1e-5].map((by) => {
        weights[k] = here + by;
        return loss(probed);
      });
      weights[k] = here;
      const slope = (nudged[0] - nudged[1]) / 2e-5;
      expect(vectors(after)[v][k] - vectors(before)[v][k]).toBeCloseTo(-slope, 7);
    }
  });
});
