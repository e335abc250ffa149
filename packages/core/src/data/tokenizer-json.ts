import { UserError } from "../errors.js";
import { byteAlphabet, type Vocabulary, wordPattern } from "./vocabulary.js";

/**
 * A vocabulary as Hugging Face's `tokenizer.json`. The words are cut by an explicit pattern, not by the
 * built-in one of `ByteLevel`, because libraries disagree on the white space in the latter.
 */
export function formatTokenizerJSON({ tokens, merges, specialTokens }: Vocabulary): object {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: Object.entries(specialTokens)
      .sort(([, a], [, b]) => a - b)
      .map(([content, id]) => ({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: wordPattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`),
    },
  };
}

const unsupportedOptions = [
  "dropout",
  "unk_token",
  "continuing_subword_prefix",
  "end_of_word_suffix",
  "byte_fallback",
  "ignore_merges",
];

/**
 * The vocabulary in a parsed `tokenizer.json`: one written by {@link formatTokenizerJSON}, or another
 * byte-level BPE with GPT-2's words.
 *
 * @throws UserError for a tokenizer of another kind, and for one whose parts do not fit together
 */
export function parseTokenizerJSON(json: unknown): Vocabulary {
  const { model, added_tokens: addedTokens, pre_tokenizer: preTokenizer, ...rest } = object(json, "the file");
  const { vocab, merges, ...modelRest } = object(model, "model");
  if (modelRest.type !== "BPE") refuse(`its model is ${quote(modelRest.type)}, not "BPE"`);
  const unsupported = unsupportedOptions.find((option) => modelRest[option]);
  if (unsupported !== undefined) refuse(`its model uses ${unsupported}`);
  if (rest.normalizer) refuse("it has a normalizer");
  if (rest.post_processor && object(rest.post_processor, "post_processor").type !== "ByteLevel") {
    refuse("it has a post_processor");
  }
  if (!cutsWordsAsGpt2(preTokenizer)) refuse("its pre_tokenizer does not cut words as GPT-2 does");

  const ids = new Map<string, number>();
  const tokens: string[] = [];
  const add = (token: string, id: unknown) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
      refuse(`token ${quote(token)} has no valid id`);
    if (ids.get(token) === id) return;
    if (ids.has(token) || id in tokens) refuse(`token ${quote(token)} and id ${id} are not one to one`);
    ids.set(token, id);
    tokens[id] = token;
  };
  for (const [token, id] of Object.entries(object(vocab, "model.vocab"))) add(token, id);
  const specialTokens = list(addedTokens, "added_tokens").map((value): [string, number] => {
    const { content, id } = object(value, "an added token");
    if (typeof content !== "string" || content === "") refuse("an added token is empty");
    add(content, id);
    return [content, id as number];
  });
  if (ids.size !== tokens.length) refuse(`its ids are not 0 to ${ids.size - 1}`);
  const missing = byteAlphabet.findIndex((character) => !ids.has(character));
  if (missing >= 0) refuse(`it has no token for byte ${missing}`);
  const alphabet = new Set(byteAlphabet);
  const special = new Set(specialTokens.map(([token]) => token));
  const foreign = tokens.find((token) => !special.has(token) && [...token].some((one) => !alphabet.has(one)));
  if (foreign !== undefined) refuse(`token ${quote(foreign)} is not spelled in bytes`);

  return {
    tokens,
    specialTokens: Object.fromEntries(specialTokens),
    merges: list(merges, "model.merges").map((merge): [number, number] => {
      const parts: unknown[] = typeof merge === "string" ? merge.split(" ") : list(merge, "a merge");
      const [left, right] = parts.map((part) => (typeof part === "string" ? ids.get(part) : undefined));
      if (parts.length !== 2 || left === undefined || right === undefined) {
        return refuse(`merge ${quote(merge)} is not of two tokens`);
      }
      if (!ids.has(tokens[left] + tokens[right])) refuse(`merge ${quote(merge)} has no token for its result`);
      return [left, right];
    }),
  };
}

function cutsWordsAsGpt2(preTokenizer: unknown): boolean {
  const { type, add_prefix_space, use_regex, pretokenizers } = object(preTokenizer, "pre_tokenizer");
  if (type === "ByteLevel") return !add_prefix_space && use_regex !== false;
  if (type !== "Sequence") return false;
  const [split, bytes, ...others] = list(pretokenizers, "pre_tokenizer").map((step) =>
    object(step, "a step"),
  );
  return (
    others.length === 0 &&
    split?.type === "Split" &&
    object(split.pattern, "pattern").Regex === wordPattern &&
    split.behavior === "Isolated" &&
    !split.invert &&
    bytes?.type === "ByteLevel" &&
    !bytes.add_prefix_space &&
    bytes.use_regex === false
  );
}

function refuse(reason: string): never {
  throw new UserError(`the tokenizer cannot be used: ${reason}`, {
    hint: "Expected a tokenizer.json with a byte-level BPE model and GPT-2's pre-tokenisation.",
  });
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(`${name} is not an object`);
  return value as Record<string, unknown>;
}

function list(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) refuse(`${name} is not a list`);
  return value;
}

function quote(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}
