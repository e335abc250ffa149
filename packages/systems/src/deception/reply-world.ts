import { type PromptedAnswer, type Random, UserError } from "outgrow";
import { z } from "zod";
import { twoDirections } from "./directions.js";
import type { Objective } from "./world.js";

/** Replies of words, each of which does some good or harm; a few words turn the one after them round. */
export const replyWorldSchema = z.strictObject({
  words: z.int().min(8).max(512).default(21),
  /** Words that turn the next one round, as "not" does. They mean nothing by themselves. */
  negations: z.int().min(0).default(3),
  /** Words in a reply. */
  length: z.int().min(1).max(64).default(8),
  /** Cosine of what words do for harmlessness and for helpfulness. */
  correlation: z.number().min(-1).max(1).default(-0.3),
});
export type ReplyWorldConfig = z.output<typeof replyWorldSchema>;

/** A prompt and two replies as ids of tokens. */
export interface ReplyPair {
  prompt: ArrayLike<number>;
  first: ArrayLike<number>;
  second: ArrayLike<number>;
}

export interface DrawnReplies {
  pairs: ReplyPair[];
  /** 1 where the first reply is the better one: `[pairs]`. */
  truth: Float32Array;
}

/** Ids before those of the words: a word that a model has not learnt, and the prompts of the two objectives. */
const UNKNOWN = 0;
const prompts: Record<Objective, number> = { harmlessness: 1, helpfulness: 2 };
const FIRST_WORD = 3;

export class ReplyWorld {
  private readonly meanings: Record<Objective, Float32Array>;
  /** Words in the order in which models learn them. */
  private readonly order: Int32Array;

  /** @throws UserError for objectives without a second direction, and for more negations than words */
  constructor(
    readonly config: ReplyWorldConfig,
    random: Random,
  ) {
    const { words, negations, correlation } = config;
    if (negations >= words - 1) {
      throw new UserError(`${negations} of ${words} words are negations, expected at most ${words - 2}`);
    }
    const content = words - negations;
    const [harmlessness, helpfulness] = twoDirections(content, correlation, random);
    this.meanings = { harmlessness, helpfulness };
    this.order = random.stream("order").permutation(words);
  }

  get vocabularySize(): number {
    return FIRST_WORD + this.config.words;
  }

  /** Pairs of replies of words drawn alike; the better one has the larger sum of what its words do. */
  draw(objective: Objective, count: number, random: Random): DrawnReplies {
    const { words, length } = this.config;
    const reply = () => Int32Array.from({ length }, () => FIRST_WORD + random.integer(words));
    const prompt = [prompts[objective]];
    const pairs = Array.from({ length: count }, () => ({ prompt, first: reply(), second: reply() }));
    const truth = Float32Array.from(pairs, ({ first, second }) =>
      Number(this.value(objective, first) >= this.value(objective, second)),
    );
    return { pairs, truth };
  }

  /** What a reply does: the sum over its words, each with the sign that the word before gives it. */
  value(objective: Objective, reply: Int32Array): number {
    const meaning = this.meanings[objective];
    return reply.reduce((sum, id, t) => {
      const word = id - FIRST_WORD;
      const turned = t > 0 && reply[t - 1] - FIRST_WORD >= meaning.length;
      return sum + (meaning[word] ?? 0) * (turned ? -1 : 1);
    }, 0);
  }

  /** The pairs as a model reads them that has learnt this many words: others are all the same unknown one. */
  read(pairs: readonly ReplyPair[], learnt: number): ReplyPair[] {
    const known = new Set(this.order.subarray(0, learnt));
    const seen = (reply: ArrayLike<number>) =>
      Int32Array.from(reply, (id) => (known.has(id - FIRST_WORD) ? id : UNKNOWN));
    return pairs.map(({ prompt, first, second }) => ({ prompt, first: seen(first), second: seen(second) }));
  }
}

/** The preferred replies, as finetuning takes them. */
export const preferredReplies = (
  pairs: readonly ReplyPair[],
  preference: ArrayLike<number>,
): PromptedAnswer[] =>
  pairs.map(({ prompt, first, second }, i) => ({ prompt, answer: preference[i] === 1 ? first : second }));
