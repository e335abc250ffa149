import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { type Columns, selectRows } from "../data/columns.js";
import { createRandom } from "../random.js";
import { type Backbone, type ClassifierParams, compileClassifier, featureBackbone } from "./classifier.js";
import { exportClassifier } from "./export.js";
import { initMlp, type LinearParams, mlpFeatures } from "./mlp.js";
import { applyTransformer, initTransformer, type TransformerParams } from "./transformer.js";
import { transformerConfig } from "./transformer-config.js";

const random = createRandom(4);

const { hidden } = initMlp({ inputSize: 3, hidden: [6, 5], outputSize: 1 }, random);
const mlp: Backbone = {
  name: "MLP",
  body: { hidden },
  featureSize: 5,
  features: (body: { hidden: LinearParams<JaxArray>[] }, { x }) => mlpFeatures(body, x),
};
const config = transformerConfig("gpt2", {
  vocabularySize: 9,
  contextLength: 6,
  width: 8,
  layers: 2,
  heads: 2,
});
const transformer: Backbone = {
  name: "transformer",
  body: initTransformer(config, random),
  featureSize: 8,
  features: (body: TransformerParams<JaxArray>, { tokens, mask }) =>
    applyTransformer(config, body, tokens, { mask })
      .hidden.mul(mask.reshape([...mask.shape, 1]))
      .sum(1),
};
const dataBody: Backbone = {
  name: "body with a part named data",
  body: { data: { shift: new Tensor(Float32Array.of(1, 2, 3)) } },
  featureSize: 3,
  features: (body: { data: { shift: JaxArray } }, { x }) => x.add(body.data.shift),
};

const rows = 5;
const x = new Tensor(random.normals(rows * 3), [rows, 3]);
const tokens = new Tensor(
  Int32Array.from({ length: rows * 6 }, () => random.integer(9)),
  [rows, 6],
);
const mask = new Tensor(
  Float32Array.from({ length: rows * 6 }, (_, i) => Number(i % 6 <= Math.floor(i / 6))),
  [rows, 6],
);

describe("exportClassifier", () => {
  test.each<[string, Backbone, Columns, number]>([
    ["an MLP", mlp, { x }, 2],
    ["a linear probe", featureBackbone("probe", 3), { features: x }, 3],
    ["a transformer", transformer, { tokens, mask }, 4],
    ["a body with a part named data", dataBody, { x }, 2],
  ])(
    "the file of %s gives the same probabilities in ONNX Runtime, from inputs named as the columns",
    async (_, backbone, inputs, classes) => {
      const head = new Tensor(random.normals(backbone.featureSize * classes), [
        backbone.featureSize,
        classes,
      ]);
      const params: ClassifierParams = { body: backbone.body, head };
      const predict = await compileClassifier(backbone, classes, inputs);
      const { values } = await predict(params, inputs);
      await predict.dispose();

      const session = await InferenceSession.create(await exportClassifier(backbone, params, inputs));
      expect([...session.inputNames].sort()).toEqual(Object.keys(inputs).sort());
      expect(session.outputNames).toEqual(["probabilities"]);
      for (let row = 0; row < rows; row++) {
        const feeds = Object.entries(selectRows(inputs, Int32Array.of(row))).map(
          ([name, { dtype, data, shape }]) => [name, new OrtTensor(dtype, data, shape)],
        );
        const { probabilities } = await session.run(Object.fromEntries(feeds));
        expect(probabilities.dims).toEqual([1, classes]);
        (probabilities.data as Float32Array).forEach((p, k) => {
          expect(p).toBeCloseTo(values[row * classes + k], 5);
        });
      }
      expect(new Set(values).size).toBeGreaterThan(rows);
      await session.release();
    },
  );
});
