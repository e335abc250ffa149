/** Llama 3's stretching of rotary embeddings beyond the context of pretraining (Dubey et al. 2024, `rope_type: llama3`). */
export interface RotaryScaling {
  factor: number;
  /** Wavelengths up to `originalContext / highFrequency` stay, those from `originalContext / lowFrequency` on stretch. */
  lowFrequency: number;
  highFrequency: number;
  originalContext: number;
}

/** A transformer of pre-norm blocks as GPT-2, Llama, Mistral, Qwen2, Qwen3 and SmolLM have it, and encoders of the same blocks. */
export interface TransformerConfig {
  /** Number of token ids. */
  vocabularySize: number;
  /** Longest sequence, in tokens. */
  contextLength: number;
  /** Width of the residual stream. */
  width: number;
  layers: number;
  /** Query heads; a multiple of `keyValueHeads`. */
  heads: number;
  /** Heads of keys and values, each shared by `heads / keyValueHeads` query heads (Ainslie et al. 2023). */
  keyValueHeads: number;
  /** Width of one head; even where positions are rotary. */
  headSize: number;
  /** Width inside the MLP. */
  innerWidth: number;
  /** Whether a position sees only itself and what stands before it. */
  causal: boolean;
  /** Learned vectors for each position, or rotations of queries and keys (Su et al. 2021) with wavelengths up to 2 pi `base`. */
  positions: "learned" | { rotaryBase: number; scaling?: RotaryScaling };
  /** How many positions back a query sees, itself among them; absent: all. */
  slidingWindow?: number;
  /** Layer normalisation (Ba et al. 2016) or root mean squares (Zhang and Sennrich 2019). */
  norm: "layer" | "rms";
  normEpsilon: number;
  /** `gelu` is exact, `gelu-tanh` GPT-2's approximation; `swiglu` has a gate (Shazeer 2020). */
  mlp: "gelu" | "gelu-tanh" | "swiglu";
  /** Which linear layers have biases. */
  biases: { queriesKeysValues: boolean; out: boolean; mlp: boolean };
  /** Whether the queries and keys of each head are normalised (Qwen3). */
  queryKeyNorm: boolean;
  /** Whether the output projection is the embedding of the tokens. */
  tiedEmbeddings: boolean;
}

export const transformerFamilies = ["gpt2", "llama", "mistral", "qwen2", "qwen3"] as const;
export type TransformerFamily = (typeof transformerFamilies)[number];

/** What must be said of a transformer; the family gives the rest. */
export type TransformerSizes = Pick<
  TransformerConfig,
  "vocabularySize" | "contextLength" | "width" | "layers" | "heads"
> &
  Partial<TransformerConfig>;

/**
 * A complete configuration: the form of a family, with sizes and whatever else is given. SmolLM is of the family `llama`.
 *
 * @throws RangeError where the sizes do not fit each other
 */
export function transformerConfig(family: TransformerFamily, sizes: TransformerSizes): TransformerConfig {
  const none = { queriesKeysValues: false, out: false, mlp: false };
  const gpt2 = family === "gpt2";
  const config: TransformerConfig = {
    keyValueHeads: sizes.heads,
    headSize: Math.floor(sizes.width / sizes.heads),
    // Three matrices of 8/3 width are as large as two of 4 (Shazeer 2020); in whole multiples of 8.
    innerWidth: gpt2 ? 4 * sizes.width : 8 * Math.ceil(sizes.width / 3),
    causal: true,
    positions: gpt2 ? "learned" : { rotaryBase: family.startsWith("qwen") ? 1e6 : 1e4 },
    norm: gpt2 ? "layer" : "rms",
    normEpsilon: gpt2 || family === "mistral" || family === "llama" ? 1e-5 : 1e-6,
    mlp: gpt2 ? "gelu-tanh" : "swiglu",
    biases: gpt2
      ? { queriesKeysValues: true, out: true, mlp: true }
      : { ...none, queriesKeysValues: family === "qwen2" },
    queryKeyNorm: family === "qwen3",
    tiedEmbeddings: true,
    ...sizes,
  };
  checkTransformerConfig(config);
  return config;
}

/** @throws RangeError where the sizes do not fit each other */
export function checkTransformerConfig(config: TransformerConfig): void {
  const refuse = (what: string) => {
    throw new RangeError(`A transformer's ${what}.`);
  };
  const { heads, keyValueHeads, headSize, positions } = config;
  for (const size of [
    "vocabularySize",
    "contextLength",
    "width",
    "heads",
    "keyValueHeads",
    "headSize",
    "innerWidth",
  ] as const) {
    if (!Number.isSafeInteger(config[size]) || config[size] < 1) {
      refuse(`${size} is ${config[size]}, expected a whole number of at least 1`);
    }
  }
  if (heads % keyValueHeads !== 0) {
    refuse(`heads (${heads}) must be a multiple of its keyValueHeads (${keyValueHeads})`);
  }
  if (positions !== "learned" && headSize % 2 !== 0) {
    refuse(`headSize is ${headSize}, but rotary positions need an even one`);
  }
}
