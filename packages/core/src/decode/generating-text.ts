import type { Tokenizer } from "../data/bpe.js";
import { createStreamDecoder } from "../data/stream-decoder.js";
import { UserError } from "../errors.js";
import type { Decoder } from "./decoder.js";
import type { ConstraintState, GeneratedToken, Generation, GenerationRequest } from "./generation.js";
import { generatedToken, Sampler } from "./sampling.js";
import { StoppedText } from "./stop-strings.js";

/** A decoder, e.g. of several models together, with what its tokens mean. */
export interface GeneratorParts {
  decoder: Decoder;
  tokenizer: Pick<Tokenizer, "tokenBytes" | "vocabularySize">;
  endTokens: readonly number[];
}

/** A text that grows by the tokens that are chosen for it. */
export class GeneratingText {
  private readonly tokens: GeneratedToken[] = [];
  private readonly sampler: Sampler;
  private readonly stream;
  private readonly written: StoppedText;
  private readonly most: number;
  private constraint: ConstraintState | undefined;
  private finishReason: Generation["finishReason"] | undefined;
  /** How many of the tokens were passed to `onText`. */
  private told = 0;

  /** @throws UserError for a prompt that does not fit, and for options out of range */
  constructor(
    private readonly request: GenerationRequest,
    private readonly parts: GeneratorParts,
  ) {
    const { decoder, tokenizer } = parts;
    checkRequest(request, parts);
    this.sampler = new Sampler(request, decoder.vocabularySize, request.prompt);
    this.stream = createStreamDecoder(tokenizer);
    this.written = new StoppedText(request.stop ?? []);
    this.most = Math.min(request.maxTokens ?? Infinity, decoder.contextLength - request.prompt.length);
    this.constraint = request.constraint?.start();
  }

  /**
   * The next token; undefined where the text is over with it.
   *
   * @param logits `[vocabularySize]`; they are changed
   * @param row for messages
   * @throws UserError where the logits are no numbers, or leave no token that may come
   */
  next(logits: Float32Array, row: number): number | undefined {
    this.checkLogits(logits, row);
    const { logProbs } = this.request;
    const model = logProbs === undefined ? logits : logits.slice();
    // A model may have more logits than there are tokens.
    logits.fill(-Infinity, this.parts.tokenizer.vocabularySize);
    const id = this.sampler.choose(logits, this.allowed());
    if (logits[id] === -Infinity) throw this.failure(row, "allow none of the tokens that may come");
    this.tokens.push(generatedToken(id, model, logProbs));
    if (this.parts.endTokens.includes(id)) return this.finish("stop");
    this.tell(this.written.push(this.stream.push(id)));
    if (this.written.stopped) return this.finish("stop");
    this.constraint = this.constraint?.after(id);
    if (this.constraint && !this.constraint.allowed.includes(1)) {
      if (this.constraint.mayEnd) return this.finish("stop");
      throw this.failure(row, "came to where the constraint allows no token");
    }
    return this.tokens.length >= this.most ? this.finish("length") : id;
  }

  /** The text, once it is over. */
  generation(): Generation {
    return { text: this.written.text, tokens: this.tokens, finishReason: this.finishReason ?? "length" };
  }

  private finish(reason: Generation["finishReason"]): undefined {
    this.finishReason = reason;
    this.tell(this.written.push(this.stream.end()) + this.written.end());
  }

  private tell(text: string): void {
    if (text === "") return;
    this.request.onText?.(text, this.tokens.slice(this.told));
    this.told = this.tokens.length;
  }

  /** The constraint's tokens, with those that end a text where it may end. */
  private allowed(): Uint8Array | undefined {
    if (!this.constraint) return undefined;
    const { allowed, mayEnd } = this.constraint;
    const mask = allowed.slice();
    for (const token of this.parts.endTokens) mask[token] = mayEnd ? 1 : 0;
    return mask;
  }

  private checkLogits(logits: Float32Array, row: number): void {
    for (let i = 0; i < logits.length; i++) {
      if (!(logits[i] < Infinity)) throw this.failure(row, `are ${logits[i]} for token ${i}`);
    }
  }

  private failure(row: number, what: string): UserError {
    return new UserError(`row ${row}, step ${this.tokens.length}: the model's logits ${what}`, {
      hint: "The other rows go on. Logits that are no numbers come from weights that are damaged or grew too large in training.",
      exitCode: 1,
    });
  }
}

function checkRequest(request: GenerationRequest, { decoder }: GeneratorParts): void {
  const { prompt, maxTokens, stop, logProbs } = request;
  const { contextLength, vocabularySize } = decoder;
  if (prompt.length === 0) {
    throw new UserError("the prompt is empty", {
      hint: "A prompt has at least one token, e.g. the one that begins texts.",
    });
  }
  if (prompt.length >= contextLength) {
    throw new UserError(
      `the prompt has ${prompt.length} tokens, which leaves no room in the model's context of ${contextLength}`,
    );
  }
  const unknown = prompt.findIndex((token) => !(token >= 0 && token < vocabularySize));
  if (unknown >= 0) {
    throw new UserError(
      `token ${unknown} of the prompt (counted from 0) is ${prompt[unknown]}, expected 0 to ${vocabularySize - 1}`,
      { hint: "Are the ids from this model's tokenizer?" },
    );
  }
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens >= 1)) {
    throw new UserError(`maxTokens is ${maxTokens}, expected a whole number of at least 1`);
  }
  if (logProbs !== undefined && !(Number.isSafeInteger(logProbs) && logProbs >= 0 && logProbs <= 20)) {
    throw new UserError(`logProbs is ${logProbs}, expected a whole number from 0 to 20`);
  }
  if (stop?.includes("")) throw new UserError("a stop string is empty");
}
