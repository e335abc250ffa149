import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { type Batch, type Columns, selectRows } from "../data/columns.js";
import { type Backbone, type ClassifierParams, classifierLogits } from "./classifier.js";

/**
 * A trained classifier as an ONNX file of its own: weights inside, one example in, class probabilities `[1, classes]`
 * out. `example` gives the names and types of the inputs.
 */
export async function exportClassifier(
  backbone: Backbone,
  params: ClassifierParams,
  example: Columns,
): Promise<Uint8Array> {
  const one = selectRows(example, Int32Array.of(0));
  const probabilities = (inputs: Batch) =>
    nn.softmax(classifierLogits(backbone, asArrays(params) as ClassifierParams<JaxArray>, inputs), -1);
  const program = await compile(probabilities as (inputs: never) => JaxArray, [one] as never, {
    name: "student",
    outputNames: ["probabilities"],
  });
  const bytes = program.toOnnx();
  await program.dispose();
  return bytes;
}

/** A tree of tensors as constants of the traced function that this is called in. */
function asArrays(tree: unknown): unknown {
  if (tree instanceof Tensor) {
    const { data, shape, dtype } = tree;
    return np.array(data as Float32Array<ArrayBuffer>, { shape: [...shape], dtype: dtype as never });
  }
  if (Array.isArray(tree)) return tree.map(asArrays);
  return Object.fromEntries(Object.entries(tree as object).map(([key, value]) => [key, asArrays(value)]));
}
