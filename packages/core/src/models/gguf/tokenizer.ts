import type { Tokenizer } from "../../data/bpe.js";
import { wordPatterns } from "../../data/word-rules.js";
import { UserError } from "../../errors.js";
import { isObject } from "../hugging-face/fields.js";

/** The kinds of token in llama.cpp. */
export const tokenKinds = { normal: 1, control: 3, user: 4, unused: 5 } as const;

export interface GgufTokenizer {
  /** How words are cut: the name of one of llama.cpp's rules. */
  pre: string;
  /** `[vocabularySize]` */
  tokens: string[];
  /** `[vocabularySize]`: {@link tokenKinds} */
  kinds: number[];
  /** Two tokens with a space between them, by rank. */
  merges: string[];
}

/** llama.cpp's rules for cutting words by the patterns that `tokenizer.json` has for them (llama-vocab.cpp). */
export const wordRules: Readonly<Record<string, string>> = {
  "gpt-2": wordPatterns.gpt2,
  qwen2: wordPatterns.qwen2,
  "llama-bpe": wordPatterns.llama3,
};

/**
 * A tokenizer as llama.cpp wants it.
 *
 * @param vocabularySize of the model: ids that the tokenizer does not have become unused tokens
 * @throws UserError where llama.cpp has no rule that cuts words in the same way
 */
export function ggufTokenizer(tokenizer: Tokenizer, vocabularySize: number): GgufTokenizer {
  const json = tokenizer.toJSON() as {
    model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
    added_tokens: { id: number; content: string; special: boolean }[];
    pre_tokenizer: unknown;
  };
  const tokens = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`);
  const kinds: number[] = Array(vocabularySize).fill(tokenKinds.unused);
  for (const [token, id] of Object.entries(json.model.vocab)) {
    tokens[id] = token;
    kinds[id] = tokenKinds.normal;
  }
  for (const { id, content, special } of json.added_tokens) {
    tokens[id] = content;
    kinds[id] = special ? tokenKinds.control : tokenKinds.user;
  }
  return {
    pre: wordRuleOf(json.pre_tokenizer),
    tokens,
    kinds,
    merges: json.model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" "))),
  };
}

function wordRuleOf(preTokenizer: unknown): string {
  const steps =
    isObject(preTokenizer) && preTokenizer.type === "Sequence" && Array.isArray(preTokenizer.pretokenizers)
      ? preTokenizer.pretokenizers
      : [preTokenizer];
  const [first, second, ...others] = steps.filter(isObject);
  const isBytes = (step: Record<string, unknown> | undefined, cuts: boolean) =>
    step?.type === "ByteLevel" && !step.add_prefix_space && (step.use_regex !== false) === cuts;
  if (others.length === 0) {
    if (second === undefined && isBytes(first, true)) return "gpt-2";
    if (first?.type === "Digits" && first.individual_digits && isBytes(second, true)) return "smollm";
    if (first?.type === "Split" && isBytes(second, false)) {
      const { Regex: regex } = isObject(first.pattern) ? first.pattern : {};
      const found = Object.entries(wordRules).find(([, pattern]) => pattern === regex);
      if (found) return found[0];
    }
  }
  throw new UserError("llama.cpp cuts words in none of the ways of this tokenizer", {
    hint: "Export to safetensors, which keeps tokenizer.json as it is.",
  });
}

/** The `tokenizer.json` of a tokenizer in a GGUF file. */
export function tokenizerJsonFrom({ pre, tokens, kinds, merges }: GgufTokenizer): object {
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const digits = { type: "Digits", individual_digits: true };
  const split = { type: "Split", pattern: { Regex: wordRules[pre] }, behavior: "Isolated", invert: false };
  if (pre !== "smollm" && !Object.hasOwn(wordRules, pre)) {
    throw new UserError(
      `tokenizer.ggml.pre is ${JSON.stringify(pre)}, expected one of ${[...Object.keys(wordRules), "smollm"].join(", ")}`,
    );
  }
  const isAdded = (kind: number) => kind === tokenKinds.control || kind === tokenKinds.user;
  const entries = tokens.map((token, id) => ({ token, id, kind: kinds[id] }));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: entries
      .filter(({ kind }) => isAdded(kind))
      .map(({ token, id, kind }) => ({
        id,
        content: token,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: kind === tokenKinds.control,
      })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers:
        pre === "smollm" ? [digits, { ...bytes, use_regex: true }] : [split, { ...bytes, use_regex: false }],
    },
    post_processor: null,
    decoder: { ...bytes, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre === "llama-bpe",
      vocab: Object.fromEntries(
        entries.filter(({ kind }) => kind !== tokenKinds.unused).map(({ token, id }) => [token, id]),
      ),
      merges,
    },
  };
}
