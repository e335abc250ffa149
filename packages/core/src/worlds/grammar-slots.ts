import type { GrammarCorpusConfig } from "./grammar-corpus.js";

/** How many tokens a copy repeats. */
export const copyLength = 3;

/** What a document has defined so far: for each key (by index) its value, a token, and where it stands. */
export type Definitions = ReadonlyMap<number, Definition>;

export interface Definition {
  /** Index of the value, or of the key that the key is defined by. */
  value?: number;
  link?: number;
  /** Position of the value's token. */
  at: number;
}

export type SlotKind = "sentence" | "definition" | "use" | "two-hop" | "copy";

/** Keys that a use over two steps may ask for: those defined by a key. */
export const linkedKeys = (definitions: Definitions) =>
  [...definitions].flatMap(([key, { link }]) => (link === undefined ? [] : [key]));

/** Keys that a use may ask for: those with a value. */
export const valuedKeys = (definitions: Definitions) =>
  [...definitions].flatMap(([key, { value }]) => (value === undefined ? [] : [key]));

/** Probability of each kind of slot; what is not possible yet gives its share to the next possible one. */
export function slotShares(
  config: GrammarCorpusConfig,
  uses: number,
  definitions: Definitions,
  length: number,
): Record<SlotKind, number> {
  const shares = { sentence: 0, definition: 0, use: 0, "two-hop": 0, copy: 0 };
  const mayDefine = definitions.size < config.keys;
  const hasValues = valuedKeys(definitions).length > 0;
  const hasLinks = linkedKeys(definitions).length > 0;
  const twoHops = hasLinks ? config.twoHops : 0;
  if (hasValues) {
    shares["two-hop"] = uses * twoHops;
    shares.use = uses * (1 - twoHops);
  } else if (mayDefine) shares.definition = uses;
  else shares.sentence = uses;
  const rest = 1 - uses;
  shares[mayDefine ? "definition" : "sentence"] += rest * config.definitions;
  const plain = rest * (1 - config.definitions);
  const copies = length >= copyLength ? plain * config.copies : 0;
  shares.copy = copies;
  shares.sentence += plain - copies;
  return shares;
}

/** Probability that a definition is by an earlier key. */
export const linkShare = (config: GrammarCorpusConfig, definitions: Definitions) =>
  valuedKeys(definitions).length > 0 ? config.links : 0;
