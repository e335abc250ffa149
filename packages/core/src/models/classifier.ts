import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { type Batch, type Columns, selectRows } from "../data/columns.js";
import type { SoftLabels } from "../data/soft-labels.js";

/**
 * A model without its last layer: pretrained, and ready for a head.
 * `Body` is a tree of tensors; inside traced functions the same tree has arrays as leaves.
 */
export interface Backbone<Body = unknown> {
  /** For people, e.g. "MLP 256". */
  name: string;
  body: Body;
  featureSize: number;
  /** `[batch, featureSize]` of a batch of inputs. */
  features(body: never, inputs: Batch): JaxArray;
}

/** A backbone with a linear head without bias. */
export interface ClassifierParams<Leaf = Tensor, Body = unknown> {
  body: Body;
  /** `[featureSize, classes]` */
  head: Leaf;
}

/** Starts from the backbone with a head of zeros, so that the first predictions are uniform (Burns et al. 2023). */
export function initClassifier(backbone: Backbone, classes: number): ClassifierParams {
  const head = new Tensor(new Float32Array(backbone.featureSize * classes), [backbone.featureSize, classes]);
  return { body: backbone.body, head };
}

/** `[batch, classes]` */
export function classifierLogits(
  backbone: Backbone,
  params: ClassifierParams<JaxArray>,
  inputs: Batch,
): JaxArray {
  return np.matmul(backbone.features(params.body as never, inputs), params.head);
}

/** The backbone whose features are its inputs: what a linear probe is trained on. */
export function featureBackbone(name: string, featureSize: number): Backbone {
  return { name, body: {}, featureSize, features: (_, { features }) => features };
}

/** Rows of inputs that go through a program at a time. */
const PREDICTION_BATCH = 128;

/** A compiled function of parameters and examples that is computed batch by batch. */
export interface RowFunction<Params> {
  /** `[rows, width]` for the inputs' rows. */
  (params: Params, inputs: Columns): Promise<Tensor>;
  dispose(): Promise<void>;
}

/** Compiles `fn(params, batch) -> [batch, width]` so that it can be applied to any number of rows. */
export async function compileRows<Params, Traced>(
  name: string,
  fn: (params: Traced, batch: Batch) => JaxArray,
  params: Params,
  example: Columns,
): Promise<RowFunction<Params>> {
  const rows = Math.max(1, Math.min(PREDICTION_BATCH, Object.values(example)[0].shape[0]));
  const program = await compile(
    fn as (params: never, batch: Batch) => JaxArray,
    [params, take(example, 0, rows)] as never,
    { name },
  );
  const run = program.run as unknown as (params: Params, batch: Columns) => Promise<Tensor>;
  const apply = async (given: Params, inputs: Columns): Promise<Tensor> => {
    const count = Object.values(inputs)[0].shape[0];
    let result: Float32Array | undefined;
    let width = 0;
    for (let start = 0; start < count; start += rows) {
      const part = await run(given, take(inputs, start, rows));
      width = part.shape[1];
      result ??= new Float32Array(count * width);
      const present = Math.min(rows, count - start);
      result.set((part.data as Float32Array).subarray(0, present * width), start * width);
    }
    return new Tensor(result ?? new Float32Array(), [count, width]);
  };
  return Object.assign(apply, { dispose: () => program.dispose() });
}

/** `count` rows from `start` on; the last row is repeated where there are fewer. */
function take(columns: Columns, start: number, count: number): Columns {
  const last = Object.values(columns)[0].shape[0] - 1;
  return selectRows(
    columns,
    Int32Array.from({ length: count }, (_, i) => Math.min(start + i, last)),
  );
}

/** What a backbone makes of inputs: `[rows, featureSize]`. */
export async function backboneFeatures(backbone: Backbone, inputs: Columns): Promise<Tensor> {
  const extract = await compileRows(
    `${backbone.name} features`,
    (body: never, batch) => backbone.features(body, batch),
    backbone.body as never,
    inputs,
  );
  return extract(backbone.body as never, inputs).finally(() => extract.dispose());
}

/** Class probabilities of a classifier for any number of rows. */
export async function compileClassifier(
  backbone: Backbone,
  classes: number,
  example: Columns,
): Promise<{ (params: ClassifierParams, inputs: Columns): Promise<SoftLabels>; dispose(): Promise<void> }> {
  const probabilities = await compileRows<ClassifierParams, ClassifierParams<JaxArray>>(
    `${backbone.name} probabilities`,
    (params, inputs) => nn.softmax(classifierLogits(backbone, params, inputs), -1),
    initClassifier(backbone, classes),
    example,
  );
  const apply = async (params: ClassifierParams, inputs: Columns): Promise<SoftLabels> => {
    const result = await probabilities(params, inputs);
    return { values: result.data as Float32Array, shape: [result.shape[0], classes] };
  };
  return Object.assign(apply, { dispose: probabilities.dispose });
}
