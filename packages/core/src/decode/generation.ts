/** How the next token is chosen. The order of the steps is that of the fields. */
export interface SamplingOptions {
  /** Divides logits > 0 and multiplies those < 0 of tokens that occurred, prompt included (Keskar et al. 2019). Default 1. */
  repetitionPenalty?: number;
  /** 0 is greedy: the likeliest token, of equals the first. Default 1. */
  temperature?: number;
  /** Only so many of the likeliest tokens. Default: all. */
  topK?: number;
  /** Only the likeliest tokens whose probabilities together reach this (Holtzman et al. 2020). Default 1. */
  topP?: number;
  /** Only tokens with at least this share of the likeliest one's probability (Nguyen et al. 2024). Default 0. */
  minP?: number;
  /** The same seed gives the same tokens, whatever else is decoded beside it. Default 0. */
  seed?: number;
}

/** Which tokens may come next, so that a text has a form: guided decoding. Made for one tokenizer. */
export interface Constraint {
  start(): ConstraintState;
}

/** Where a constraint is in a text. Never changes; `after` gives another. */
export interface ConstraintState {
  /** `[vocabularySize]`: 1 for tokens that may come next, else 0. Not to be changed. */
  readonly allowed: Uint8Array;
  /** Whether the text may end here: then the end tokens are allowed too. */
  readonly mayEnd: boolean;
  after(token: number): ConstraintState;
}

export interface GenerationRequest extends SamplingOptions {
  /** Ids, at least one. */
  prompt: Int32Array;
  /** Most tokens to generate. Default: what the context has room for. */
  maxTokens?: number;
  /** The text ends before the first of these strings. */
  stop?: readonly string[];
  constraint?: Constraint;
  /** How many alternatives to list with their log-probability for each token, 0 to 20. Default: no log-probabilities. */
  logProbs?: number;
  /** Called with each piece of text that is certain: no part of a character, none of what may become a stop string. */
  onText?: (text: string, tokens: readonly GeneratedToken[]) => void;
  /** Stops the generation; its row is free before the next step. */
  signal?: AbortSignal;
}

export interface GeneratedToken {
  id: number;
  /** Of the model's distribution at temperature 1, before any of the steps of {@link SamplingOptions}; NaN where not asked for. */
  logProb: number;
  /** The likeliest tokens, the likeliest first. Empty where not asked for. */
  alternatives: readonly { id: number; logProb: number }[];
}

export interface Generation {
  /** Without the stop string and the end token. */
  text: string;
  /** All that were generated, the end token among them. */
  tokens: GeneratedToken[];
  /** `stop`: an end token, a stop string, or the constraint's end; `length`: `maxTokens` or the context's end. */
  finishReason: "stop" | "length";
}

/** Generates texts side by side: each step of the model serves all requests that are open (continuous batching). */
export interface Generator {
  /**
   * Joins what is being generated, or waits for a free row.
   *
   * @throws UserError for a prompt that is empty or leaves no room, and for options out of range; the signal's reason where
   *   it was aborted
   */
  generate(request: GenerationRequest): Promise<Generation>;
  /** Several of one prompt, which is read once; the seeds are `seed`, `seed + 1`, ... */
  sample(request: GenerationRequest, count: number): Promise<Generation[]>;
  /** Requests that are open, and those that wait. */
  readonly load: { active: number; waiting: number };
  dispose(): Promise<void>;
}
