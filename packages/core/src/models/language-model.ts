import type { Tensor } from "@outgrow/engine";
import type { Tokenizer } from "../data/bpe.js";
import type { TransformerParams } from "./transformer.js";
import type { TransformerConfig } from "./transformer-config.js";

/** A causal transformer with what is needed to use it on text: what is pretrained, finetuned, saved, loaded and served. */
export interface LanguageModel {
  config: TransformerConfig;
  params: TransformerParams<Tensor>;
  tokenizer: Tokenizer;
  /** Ids after which a text is over, e.g. `<|endoftext|>`, `<|im_end|>`. */
  endTokens: readonly number[];
  /** Jinja template that turns messages into a prompt, as in `tokenizer_config.json`. */
  chatTemplate?: string;
}
