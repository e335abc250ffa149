import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { createRandom } from "../random.js";
import { trainLogisticRegression } from "../supervise/logistic-regression.js";
import { labelErrors } from "./confident-learning.js";

const random = createRandom("confident learning");

/** Clouds of points, one for each class, with planted errors, and probabilities of a model that saw other points. */
function planted(count: number, classes: number, errorRate: number) {
  const own = random.stream("planted", classes, errorRate);
  const draw = (size: number, name: string) => {
    const stream = own.stream(name);
    const truth = Int32Array.from({ length: size }, () => stream.integer(classes));
    const features = stream.normals(size * 4);
    truth.forEach((label, i) => {
      features[i * 4 + (label % 4)] += 2.5;
      if (label >= 4) features[i * 4 + ((label + 1) % 4)] += 2.5;
    });
    return { truth, features };
  };
  const flip = (truth: Int32Array, name: string) => {
    const stream = own.stream(name);
    return truth.map((label) =>
      stream.uniform() < errorRate ? (label + 1 + stream.integer(classes - 1)) % classes : label,
    );
  };
  const train = draw(1000, "train");
  const test = draw(count, "test");
  const model = trainLogisticRegression({
    features: train.features,
    shape: [1000, 4],
    labels: flip(train.truth, "train errors"),
    classes,
  });
  const labels = flip(test.truth, "errors");
  const errors = Array.from(labels.keys()).filter((i) => labels[i] !== test.truth[i]);
  return { labels, errors, predicted: model.predict(test.features, [count, 4]) };
}

const recall = (found: readonly number[], errors: readonly number[]) => {
  // At the number planted: of so many that are named first.
  const first = new Set(found.slice(0, errors.length));
  return errors.filter((i) => first.has(i)).length / errors.length;
};

const python = "/usr/bin/python3";
const hasNumpy = spawnSync(python, ["-c", "import numpy"]).status === 0;
if (!hasNumpy)
  console.warn(
    "Confident learning is not compared: there is no NumPy (Debian: apt-get install python3-numpy).",
  );
const script = fileURLToPath(
  new URL("./confident_learning.py", import.meta.url).href.replace("/dist/", "/src/"),
);

describe("label errors", () => {
  test.skipIf(!hasNumpy).each([
    [2, 0.1],
    [4, 0.2],
    [7, 0.15],
  ])("of %i classes with a share of %f are those of the paper's algorithm in NumPy", (classes, errorRate) => {
    const { labels, errors, predicted } = planted(2000, classes, errorRate);
    const rows = Array.from({ length: 2000 }, (_, i) =>
      Array.from(predicted.values.subarray(i * classes, (i + 1) * classes)),
    );
    const input = JSON.stringify({ labels: [...labels], predicted: rows });
    const { stdout, stderr } = spawnSync(python, [script], { input, encoding: "utf8" });
    expect(stderr).toBe("");
    const reference: number[] = JSON.parse(stdout);
    const { examples } = labelErrors(labels, predicted);
    expect([...examples].sort((a, b) => a - b)).toEqual(reference);
    const share = reference.filter((i) => errors.includes(i)).length / errors.length;
    // Within two points of the reference, which names as many as it finds and in no order.
    expect(recall(examples, errors)).toBeGreaterThan(Math.min(share, recall(reference, errors)) - 0.02);
    expect(recall(examples, errors)).toBeGreaterThan(0.6);
  });

  test("that are planted in certain predictions are all found, with the class that they are of", () => {
    const labels = Int32Array.from({ length: 100 }, (_, i) => i % 2);
    const values = new Float32Array(200);
    labels.forEach((label, i) => {
      values[i * 2 + label] = 1;
    });
    labels[10] = 1;
    labels[31] = 0;
    const { examples, suggested, joint } = labelErrors(labels, { values, shape: [100, 2] });
    expect([...examples].sort((a, b) => a - b)).toEqual([10, 31]);
    expect(suggested).toEqual(examples.map((i) => (i === 10 ? 0 : 1)));
    expect(joint).toEqual([
      [49, 1],
      [1, 49],
    ]);
  });

  test("are none where the model agrees with every label, or knows nothing", () => {
    const { predicted } = planted(300, 3, 0.1);
    expect(labelErrors(argmaxRows(predicted.values, 3), predicted).examples).toEqual([]);
    const blind: SoftLabels = { values: new Float32Array(300).fill(0.5), shape: [150, 2] };
    expect(labelErrors(new Int32Array(150), blind).examples).toEqual([]);
  });

  test("are refused of labels that are no classes", () => {
    const blind: SoftLabels = { values: new Float32Array(4).fill(0.5), shape: [2, 2] };
    expect(() => labelErrors(Int32Array.of(0, 2), blind)).toThrow("example 1 has the label 2");
    expect(() => labelErrors(Int32Array.of(0), blind)).toThrow("1 labels for 2 predictions");
  });
});
