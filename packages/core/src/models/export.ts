import { type Array as JaxArray, nn, numpy as np } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { type Batch, type Columns, selectRows } from "../data/columns.js";
import { UserError } from "../errors.js";
import { namedTensors } from "./checkpoint.js";
import { type Backbone, type ClassifierParams, classifierLogits } from "./classifier.js";
import type { LanguageModel } from "./language-model.js";
import { applyTransformer, type TransformerParams, tokenLogits } from "./transformer.js";

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

/** ONNX files are messages of protobuf, which end at 2 GiB. */
const maxOnnxBytes = 2 ** 31 - 2 ** 20;

/**
 * A language model as an ONNX file of its own: weights inside, int32 `tokens` `[1, length]` in, `logits`
 * `[1, length, vocabularySize]` out. Shorter texts are padded at their end with any token.
 *
 * @throws UserError where the length is beyond the context, or the weights take more than 2 GiB
 */
export async function exportLanguageModel(
  { config, params }: Pick<LanguageModel, "config" | "params">,
  length = config.contextLength,
): Promise<Uint8Array> {
  if (length > config.contextLength) {
    throw new UserError(
      `the length is ${length}, but the model's context has ${config.contextLength} tokens`,
    );
  }
  const bytes = [...namedTensors(params).values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes > maxOnnxBytes) {
    throw new UserError(`the weights take ${bytes} bytes, but one ONNX file holds at most ${maxOnnxBytes}`, {
      hint: "Export to gguf or safetensors.",
    });
  }
  const logits = (tokens: JaxArray) => {
    const traced = asArrays(params) as TransformerParams<JaxArray>;
    return tokenLogits(traced, applyTransformer(config, traced, tokens).hidden);
  };
  const program = await compile(
    (({ tokens }: { tokens: JaxArray }) => logits(tokens)) as (inputs: never) => JaxArray,
    [{ tokens: new Tensor(new Int32Array(length), [1, length]) }] as never,
    { name: "language model", outputNames: ["logits"] },
  );
  const file = program.toOnnx();
  await program.dispose();
  return file;
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
