import { UserError } from "../errors.js";
import { type AddedToken, byteAlphabet, byteFallbacks, metaspace, type Vocabulary } from "./vocabulary.js";
import { type WordPattern, wordPattern, wordPatterns } from "./word-rules.js";

/**
 * A vocabulary that was trained here as Hugging Face's `tokenizer.json`. The words are cut by an explicit pattern, not by the
 * built-in one of `ByteLevel`, because libraries disagree on the white space in the latter.
 */
export function formatTokenizerJSON({ tokens, merges, addedTokens }: Vocabulary): object {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens.map(({ id, content, special, normalized, lstrip, rstrip }) => ({
      id,
      content,
      single_word: false,
      lstrip,
      rstrip,
      normalized,
      special,
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

/** What a file may hold at most. The largest vocabularies in use have 262,144 tokens and half a million merges. */
const limits = { tokens: 2 ** 20, merges: 2 ** 21, addedTokens: 2 ** 16, tokenLength: 1024, steps: 16 };

/**
 * The vocabulary in a parsed `tokenizer.json`.
 *
 * @throws UserError for a tokenizer of another kind, and for one whose parts do not fit together
 */
export function parseTokenizerJSON(json: unknown): Vocabulary {
  const file = object(json, "the file");
  const model = object(file.model, "model");
  if (model.type !== "BPE") refuse(`its model is ${quote(model.type)}, not "BPE"`);
  for (const option of ["dropout", "continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[option]) refuse(`its model uses ${option}`);
  }
  const form = model.byte_fallback ? charactersOf(file) : bytesOf(file);
  const { tokens, addedTokens } = tokensOf(model, file.added_tokens);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const alphabet = form.words.units === "bytes" ? byteAlphabet : byteFallbacks;
  const missing = alphabet.findIndex((token) => !ids.has(token));
  if (missing >= 0) refuse(`it has no token for byte ${missing}`);
  if (form.words.units === "bytes") refuseForeignLetters(tokens, addedTokens);
  return {
    ...form,
    tokens,
    addedTokens,
    merges: mergesOf(model, tokens, ids),
    ignoreMerges: Boolean(model.ignore_merges),
    ...surroundings(file.post_processor, tokens.length),
  };
}

type Form = Pick<Vocabulary, "normalizer" | "words">;

/** Byte-level BPE: words by a known pattern, spelled in GPT-2's alphabet. */
function bytesOf(file: Record<string, unknown>): Form {
  if (object(file.model, "model").unk_token) refuse("its model uses unk_token without byte_fallback");
  const normalizers = stepsOf(file.normalizer, "normalizer", "normalizers");
  if (normalizers.some(({ type }) => type !== "NFC") || normalizers.length > 1) {
    refuse(`its normalizer is ${typesOf(normalizers)}`);
  }
  if (stepsOf(file.decoder, "decoder", "decoders").some(({ type }) => type !== "ByteLevel")) {
    refuse("its decoder is not ByteLevel");
  }
  const steps = stepsOf(file.pre_tokenizer, "pre_tokenizer", "pretokenizers");
  const bytes = steps.pop();
  if (bytes?.type !== "ByteLevel") refuse("its pre_tokenizer does not end in ByteLevel");
  if (bytes.add_prefix_space !== false) refuse("its pre_tokenizer uses add_prefix_space");
  const singleDigits = steps[0]?.type === "Digits";
  if (singleDigits && steps.shift()?.individual_digits !== true) {
    refuse("its pre_tokenizer keeps digits together, apart from the rest");
  }
  const split = steps.shift();
  if (steps.length > 0 || (split === undefined) !== (bytes.use_regex !== false)) {
    refuse("its pre_tokenizer does not cut words once");
  }
  const pattern = split === undefined ? "gpt2" : patternOf(split);
  return {
    normalizer: normalizers.length > 0 ? "nfc" : "none",
    words: { units: "bytes", pattern, singleDigits },
  };
}

function patternOf(split: Record<string, unknown>): WordPattern {
  const regex = split.type === "Split" ? object(split.pattern, "pattern").Regex : undefined;
  const known = Object.keys(wordPatterns) as WordPattern[];
  const pattern = known.find((name) => wordPatterns[name] === regex);
  if (pattern === undefined || split.behavior !== "Isolated" || split.invert) {
    refuse(`its pre_tokenizer does not cut words as ${known.join(", ")} do: ${quote(regex ?? split.type)}`);
  }
  return pattern;
}

/** BPE of characters, in which U+2581 is a space and what is no token is spelled in bytes. */
function charactersOf(file: Record<string, unknown>): Form {
  const normalizers = stepsOf(file.normalizer, "normalizer", "normalizers");
  const [first, second] = normalizers;
  const prepends = first?.type === "Prepend" && first.prepend === metaspace;
  const replaces = second?.type === "Replace" && isReplacement(second, " ", metaspace);
  if (normalizers.length > 0 && !(prepends && replaces && normalizers.length === 2)) {
    refuse(`its normalizer is ${typesOf(normalizers)}`);
  }
  const steps = stepsOf(file.pre_tokenizer, "pre_tokenizer", "pretokenizers");
  if (steps.length + normalizers.length === 0) refuse("it has neither a normalizer nor a pre_tokenizer");
  if (steps.length > 1 || steps.some(({ type }) => type !== "Metaspace")) {
    refuse(`its pre_tokenizer is ${typesOf(steps)}`);
  }
  const [space] = steps;
  if (space && (space.replacement ?? metaspace) !== metaspace) {
    refuse(`its pre_tokenizer replaces spaces by ${quote(space.replacement)}`);
  }
  const scheme = space?.prepend_scheme ?? (space?.add_prefix_space === false ? "never" : "always");
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
    refuse(`its pre_tokenizer has prepend_scheme ${quote(scheme)}`);
  }
  return {
    normalizer: normalizers.length > 0 ? "prepend-space" : "none",
    words: {
      units: "characters",
      space: space ? scheme : "never",
      cutAtSpaces: space ? space.split !== false : false,
      stripSpace: stripsSpace(stepsOf(file.decoder, "decoder", "decoders")),
    },
  };
}

function stripsSpace(decoders: Record<string, unknown>[]): boolean {
  const known = ["Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"];
  if (decoders.some(({ type }) => !known.includes(String(type))))
    refuse(`its decoder is ${typesOf(decoders)}`);
  if (decoders.some((step) => step.type === "Replace" && !isReplacement(step, metaspace, " "))) {
    refuse("its decoder replaces something else than spaces");
  }
  const strip = decoders.find(({ type }) => type === "Strip");
  if (strip && (strip.content !== " " || strip.start !== 1 || strip.stop !== 0)) {
    refuse("its decoder strips something else than one space before the text");
  }
  const spaces = decoders.find(({ type }) => type === "Metaspace");
  return strip !== undefined || (spaces !== undefined && spaces.prepend_scheme !== "never");
}

function isReplacement(step: Record<string, unknown>, from: string, to: string): boolean {
  return object(step.pattern, "pattern").String === from && step.content === to;
}

/** Tokens by their ids, which must be 0 to the last without a gap. */
function tokensOf(
  model: Record<string, unknown>,
  added: unknown,
): Pick<Vocabulary, "tokens" | "addedTokens"> {
  const ids = new Map<string, number>();
  const tokens: string[] = [];
  const add = (token: string, id: unknown) => {
    // From 2^32 - 1 on it would be no place in a list, and leave a gap unseen.
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= 2 ** 31)
      refuse(`token ${quote(token)} has no valid id`);
    if (token.length > limits.tokenLength) refuse(`token ${quote(token)} has ${token.length} characters`);
    if (ids.get(token) === id) return;
    if (ids.has(token) || id in tokens) refuse(`token ${quote(token)} and id ${id} are not one to one`);
    ids.set(token, id);
    tokens[id] = token;
  };
  const vocab = Object.entries(object(model.vocab, "model.vocab"));
  const list = limited(added ?? [], "added_tokens", limits.addedTokens);
  if (vocab.length > limits.tokens) refuse(`it has ${vocab.length} tokens, more than ${limits.tokens}`);
  for (const [token, id] of vocab) add(token, id);
  const addedTokens = list.map((value): AddedToken => {
    const { content, id, special, normalized, lstrip, rstrip, single_word } = object(value, "an added token");
    if (typeof content !== "string" || content === "") refuse("an added token is empty");
    if (single_word) refuse(`added token ${quote(content)} uses single_word`);
    add(content, id);
    return {
      id: id as number,
      content,
      special: Boolean(special),
      normalized: Boolean(normalized ?? !special),
      lstrip: Boolean(lstrip),
      rstrip: Boolean(rstrip),
    };
  });
  if (ids.size !== tokens.length) refuse(`its ids are not 0 to ${ids.size - 1}`);
  return { tokens, addedTokens };
}

function mergesOf(
  model: Record<string, unknown>,
  tokens: readonly string[],
  ids: ReadonlyMap<string, number>,
): Vocabulary["merges"] {
  return limited(model.merges, "model.merges", limits.merges).map((merge) => {
    const parts: unknown[] = typeof merge === "string" ? merge.split(" ", 3) : limited(merge, "a merge", 2);
    const [left, right] = parts.map((part) => (typeof part === "string" ? ids.get(part) : undefined));
    if (parts.length !== 2 || left === undefined || right === undefined) {
      return refuse(`merge ${quote(merge)} is not of two tokens`);
    }
    if (!ids.has(tokens[left] + tokens[right])) refuse(`merge ${quote(merge)} has no token for its result`);
    return [left, right];
  });
}

function refuseForeignLetters(tokens: readonly string[], addedTokens: readonly AddedToken[]): void {
  const alphabet = new Set(byteAlphabet);
  const added = new Set(addedTokens.map(({ content }) => content));
  const foreign = tokens.find((token) => !added.has(token) && [...token].some((one) => !alphabet.has(one)));
  if (foreign !== undefined) refuse(`token ${quote(foreign)} is not spelled in bytes`);
}

/** Ids that the post-processor puts before and after a text. */
function surroundings(postProcessor: unknown, size: number): Pick<Vocabulary, "before" | "after"> {
  const steps = stepsOf(postProcessor, "post_processor", "processors");
  const templates = steps.filter(({ type }) => type !== "ByteLevel");
  const [template] = templates;
  if (template === undefined) return { before: [], after: [] };
  if (templates.length > 1 || template.type !== "TemplateProcessing") {
    refuse(`its post_processor is ${typesOf(steps)}`);
  }
  const single = limited(template.single, "the post_processor's single", limits.steps).map((step) =>
    object(step, "a step of the post_processor"),
  );
  const at = single.findIndex((step) => "Sequence" in step);
  const idsOf = (part: typeof single) =>
    part.flatMap((step) => specialIds(step, object(template.special_tokens, "special_tokens"), size));
  if (at < 0) refuse("its post_processor has no place for the text");
  return { before: idsOf(single.slice(0, at)), after: idsOf(single.slice(at + 1)) };
}

function specialIds(step: Record<string, unknown>, special: Record<string, unknown>, size: number): number[] {
  const name = object(step.SpecialToken, "a step of the post_processor").id;
  const token = Object.hasOwn(special, String(name)) ? special[String(name)] : undefined;
  return limited(object(token, `special token ${quote(name)}`).ids, "its ids", limits.steps).map((id) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= size) {
      return refuse(`special token ${quote(name)} has id ${quote(id)}, expected 0 to ${size - 1}`);
    }
    return id;
  });
}

/** The steps of a part of the file: none, one, or those of a `Sequence`. */
function stepsOf(part: unknown, name: string, inner: string): Record<string, unknown>[] {
  if (part === null || part === undefined) return [];
  const step = object(part, name);
  if (step.type !== "Sequence") return [step];
  return limited(step[inner], `${name}.${inner}`, limits.steps).map((one) =>
    object(one, `a step of ${name}`),
  );
}

const typesOf = (steps: readonly Record<string, unknown>[]) =>
  steps.map(({ type }) => quote(type)).join(", ");

function refuse(reason: string): never {
  throw new UserError(`the tokenizer cannot be used: ${reason}`, {
    hint: "Expected a tokenizer.json with byte-level BPE as GPT-2, Llama 3, Qwen or SmolLM have it, or SentencePiece's BPE with bytes.",
  });
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(`${name} is not an object`);
  return value as Record<string, unknown>;
}

function limited(value: unknown, name: string, length: number): unknown[] {
  if (!Array.isArray(value)) refuse(`${name} is not a list`);
  if (value.length > length) refuse(`${name} has ${value.length} entries, more than ${length}`);
  return value;
}

function quote(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}
