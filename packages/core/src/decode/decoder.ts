/**
 * What decoding asks of a model: the logits of the next token, for rows of tokens that grow. A model with its cache is one,
 * and so is arithmetic on the logits of several.
 */
export interface Decoder {
  readonly vocabularySize: number;
  /** Longest row, in tokens, prompt included. */
  readonly contextLength: number;
  /** Most rows at a time. */
  readonly capacity: number;
  /**
   * Takes up prompts, each in a row of its own.
   *
   * @param prompts ids, each of at least one token and at most `contextLength`
   * @returns numbers of the rows, and the logits after each prompt: `[prompts, vocabularySize]`
   * @throws UserError for an empty or too long prompt, and where there are not enough free rows
   */
  add(prompts: readonly Int32Array[]): Promise<{ rows: number[]; logits: Float32Array }>;
  /**
   * Appends a token to each of the rows.
   *
   * @returns the logits after it: `[rows, vocabularySize]`. Valid until the next call
   */
  step(rows: readonly number[], tokens: ArrayLike<number>): Promise<Float32Array>;
  /** Another row with the same tokens: samples of one prompt, beams and branches of a search begin so. */
  fork(row: number): number;
  /** Forgets all but the first `length` tokens of a row, at least one; the next `step` goes on from there. */
  truncate(row: number, length: number): void;
  /** Tokens in a row. */
  length(row: number): number;
  /** Gives a row back. */
  remove(row: number): void;
  dispose(): Promise<void>;
}
