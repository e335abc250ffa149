import type { Array as JaxArray } from "@jax-js/jax";
import type { Tensor } from "@outgrow/engine";
import { applyLora, initLora, type LoraConfig, type LoraParams, mergeLora } from "../models/lora.js";
import type { TransformerParams } from "../models/transformer.js";
import type { Random } from "../random.js";

/**
 * What of a transformer is trained: all its weights, or adapters beside weights that stay as they are. Losses are given the whole
 * model and need not know.
 */
export interface Trainable<P = unknown> {
  /** What is trained: a tree of float32 tensors. */
  readonly params: P;
  /** What is not: a constant input of the step. */
  readonly frozen: unknown;
  /** Inside a traced function: the whole model, from `params` and `frozen` as arrays. */
  assemble(params: unknown, frozen: unknown): TransformerParams<JaxArray>;
  /** The whole model with what was trained. */
  merge(params: P): TransformerParams<Tensor>;
}

export function allWeights(params: TransformerParams<Tensor>): Trainable<TransformerParams<Tensor>> {
  return {
    params,
    frozen: {},
    assemble: (traced) => traced as TransformerParams<JaxArray>,
    merge: (trained) => trained,
  };
}

/** @throws UserError as `initLora` */
export function loraAdapters(
  base: TransformerParams<Tensor>,
  config: LoraConfig,
  random: Random,
): Trainable<LoraParams<Tensor>> {
  return {
    params: initLora(base, config, random),
    frozen: base,
    assemble: (traced, frozen) =>
      applyLora(frozen as TransformerParams<JaxArray>, traced as LoraParams<JaxArray>, config),
    merge: (trained) => mergeLora(base, trained, config),
  };
}
