import fc from "fast-check";
import { trainBpe } from "../bpe.js";
import { byteFallbacks, metaspace } from "../vocabulary.js";
import { wordPatterns } from "../word-rules.js";

/* Small tokenizer.json files in the forms that well-known models have. */

export interface TokenizerFile {
  added_tokens: Record<string, unknown>[];
  normalizer: object | null;
  pre_tokenizer: object | null;
  post_processor: object | null;
  decoder: object | null;
  model: Record<string, unknown> & { vocab: Record<string, number>; merges: unknown[] };
}

const corpus = Array.from({ length: 5 }, () => [
  "The cat sat on the mat. The cat's mat WASN'T flat; that's that! I'll say 12 of 3456 cats, they've 789,000.",
  "Whitespace  runs   matter:\n\n\tindented\r\n  lines   and trailing   ",
  "naïve café Ünïcödé, 日本語のテキスト と 中文, Привет, мир; e\u0301 a\u0308 👩‍👩‍👧 🇫🇷",
]).flat();

const trained = JSON.parse(
  JSON.stringify(trainBpe(corpus, { vocabularySize: 420, specialTokens: [] })),
) as TokenizerFile;

const added = (id: number, content: string, options: object = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...options,
});
const size = Object.keys(trained.model.vocab).length;
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
const split = (Regex: string) => ({
  type: "Sequence",
  pretokenizers: [{ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }, byteLevel],
});
const single = (id: string) => [{ SpecialToken: { id, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
const template = (token: string, id: number) => ({
  type: "TemplateProcessing",
  single: single(token),
  pair: [...single(token), { Sequence: { id: "B", type_id: 1 } }],
  special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
});

const gpt2: TokenizerFile = {
  ...trained,
  added_tokens: [added(size, "<|endoftext|>", { normalized: true })],
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
  post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false },
};

const qwen = (pattern: string): TokenizerFile => ({
  ...trained,
  added_tokens: [
    added(size, "<|endoftext|>"),
    added(size + 1, "<|im_start|>"),
    added(size + 2, "<|im_end|>"),
    added(size + 3, "<think>", { special: false }),
  ],
  normalizer: { type: "NFC" },
  pre_tokenizer: split(pattern),
  post_processor: byteLevel,
});

const llama3: TokenizerFile = {
  ...trained,
  added_tokens: [
    added(size + 1, "<|begin_of_text|>"),
    added(size + 2, "<|eot_id|>"),
    added(size + 3, "<|eot_id|>|"),
    added(size + 4, "<mask>", { lstrip: true }),
    added(size + 5, "<right>", { rstrip: true }),
  ],
  pre_tokenizer: split(wordPatterns.llama3),
  post_processor: { type: "Sequence", processors: [byteLevel, template("<|begin_of_text|>", size + 1)] },
  model: {
    ...trained.model,
    // A word that no merge leads to, so that it is found whole or not at all.
    vocab: { ...trained.model.vocab, Ġzq: size },
    ignore_merges: true,
    merges: trained.model.merges.map((merge) => String(merge).split(" ")),
  },
};

/** Tokens of characters: those of the trained tokens that are ASCII, with the merges that make them. */
function characters(): TokenizerFile["model"] {
  const spelled = (token: string) => token.replaceAll("Ġ", metaspace);
  const kept = Object.keys(trained.model.vocab).filter((token) => /^[ -~Ġ]+$/.test(token));
  const vocab = [
    "<unk>",
    "<s>",
    "</s>",
    ...byteFallbacks,
    ...kept.map(spelled),
    "é",
    "日",
    "本",
    "日本",
    "\n",
  ];
  vocab.push(metaspace.repeat(2), metaspace.repeat(3));
  const merges = trained.model.merges.map((merge) => spelled(String(merge)));
  const known = new Set(vocab);
  const possible = merges.filter((merge) => merge.split(" ").every((part) => known.has(part)));
  return {
    ...trained.model,
    unk_token: "<unk>",
    fuse_unk: true,
    byte_fallback: true,
    vocab: Object.fromEntries([...known].map((token, id) => [token, id])),
    merges: [
      ...new Set([
        ...possible,
        "日 本",
        `${metaspace} ${metaspace}`,
        `${metaspace}${metaspace} ${metaspace}`,
      ]),
    ],
  };
}

const spaces = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });
const llama2: TokenizerFile = {
  ...trained,
  added_tokens: [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
  normalizer: {
    type: "Sequence",
    normalizers: [{ type: "Prepend", prepend: metaspace }, spaces(" ", metaspace)],
  },
  pre_tokenizer: null,
  post_processor: template("<s>", 1),
  decoder: {
    type: "Sequence",
    decoders: [
      spaces(metaspace, " "),
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: characters(),
};

/** By the name of the family. */
export const tokenizerFiles: Record<string, TokenizerFile> = {
  "GPT-2": gpt2,
  SmolLM: {
    ...gpt2,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
  },
  "Llama 3": llama3,
  Qwen2: qwen(wordPatterns.qwen2),
  "Qwen3.5": qwen(wordPatterns.qwen3_5),
  "Mistral Nemo": { ...qwen(wordPatterns.tekken), normalizer: null },
  "Llama 2": llama2,
  Mistral: {
    ...llama2,
    normalizer: null,
    pre_tokenizer: { type: "Metaspace", replacement: metaspace, prepend_scheme: "first", split: false },
  },
  "Phi-3": {
    ...llama2,
    added_tokens: [
      ...llama2.added_tokens,
      added(Object.keys(llama2.model.vocab).length, "<|end|>", { rstrip: true }),
    ],
  },
};

/** Texts with what tokenizers get wrong: white space, contractions, marks, emoji, lone surrogates, tokens spelled out. */
export const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ..."<|endoftext|> <|im_start|> <|im_end|> <think> <|begin_of_text|> <|eot_id|> <|eot_id|>| <mask> <right> <s> </s> <unk> <|end|> <|eot".split(
          " ",
        ),
        ..."'s 'LL 'Re 'ſ zq The cat 12 3456 Ⅷ½ １２日本語 ▁ <0x0A> Ġ constructor __proto__".split(" "),
        ...[" ", "  ", "   ", "\n", "\r\n", "\t", "\u0085", "\u00A0", "\u3000", "\u200D", "\uFEFF", "\0"],
        ...["\u0301", "e\u0301", "\u1112\u1161", "👩‍👧", "🇫🇷", "\uD83D", "\uDC00", "ǅ", "ʰ", "/", "//\n"],
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
      fc.string({ unit: "grapheme", maxLength: 4 }),
    ),
  )
  .map((parts) => parts.join(""));
