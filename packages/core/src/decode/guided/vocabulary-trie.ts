import type { Tokenizer } from "../../data/bpe.js";
import type { AutomatonState } from "./automaton.js";

/**
 * The byte strings of a vocabulary as a tree, in the order in which a walk meets its nodes: each node is followed by all that
 * begins as it does. A state of an automaton then finds its tokens in one pass, and leaves out whole branches.
 */
export interface VocabularyTrie {
  vocabularySize: number;
  /** `[nodes]`: the last byte of each node. */
  bytes: Uint8Array;
  /** `[nodes]`: its length in bytes, from 1. */
  depths: Uint32Array;
  /** `[nodes]`: the first node after it that does not begin as it does. */
  ends: Uint32Array;
  /** `[nodes + 1]`: where the tokens of each node begin in `tokens`. */
  offsets: Uint32Array;
  /** Ids of the tokens that are in the tree, by node. */
  tokens: Uint32Array;
  maxDepth: number;
}

const tries = new WeakMap<Tokenizer, Map<string, VocabularyTrie>>();

/**
 * The tree of a tokenizer's tokens, made once. Special tokens, end tokens and tokens without bytes are left out: they are no
 * part of a text.
 */
export function vocabularyTrie(tokenizer: Tokenizer, endTokens: readonly number[]): VocabularyTrie {
  let ofTokenizer = tries.get(tokenizer);
  if (ofTokenizer === undefined) {
    ofTokenizer = new Map();
    tries.set(tokenizer, ofTokenizer);
  }
  const key = endTokens.toSorted((a, b) => a - b).join(" ");
  let trie = ofTokenizer.get(key);
  if (trie === undefined) {
    trie = buildTrie(tokenizer, endTokens);
    ofTokenizer.set(key, trie);
  }
  return trie;
}

function buildTrie(tokenizer: Tokenizer, endTokens: readonly number[]): VocabularyTrie {
  const left = new Set([...endTokens, ...Object.values(tokenizer.specialTokens)]);
  const tokens: { id: number; bytes: Uint8Array }[] = [];
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    const bytes = tokenizer.tokenBytes(id);
    if (!left.has(id) && bytes.length > 0) tokens.push({ id, bytes });
  }
  // In this order every token comes right after what it continues.
  tokens.sort((a, b) => Buffer.compare(a.bytes, b.bytes) || a.id - b.id);

  const bytes: number[] = [];
  const depths: number[] = [];
  const offsets: number[] = [];
  let before: Uint8Array = new Uint8Array(0);
  tokens.forEach(({ bytes: token }, index) => {
    let shared = 0;
    while (shared < before.length && shared < token.length && before[shared] === token[shared]) shared++;
    for (let depth = shared; depth < token.length; depth++) {
      bytes.push(token[depth]);
      depths.push(depth + 1);
      offsets.push(index);
    }
    before = token;
  });
  offsets.push(tokens.length);
  const ends = new Uint32Array(bytes.length);
  const open: number[] = [];
  for (let node = 0; node <= bytes.length; node++) {
    const depth = node < bytes.length ? depths[node] : 0;
    while (open.length > 0 && depths[open[open.length - 1]] >= depth) ends[open.pop() as number] = node;
    open.push(node);
  }
  return {
    vocabularySize: tokenizer.vocabularySize,
    bytes: Uint8Array.from(bytes),
    depths: Uint32Array.from(depths),
    ends,
    offsets: Uint32Array.from(offsets),
    tokens: Uint32Array.from(tokens, ({ id }) => id),
    maxDepth: depths.reduce((most, depth) => Math.max(most, depth), 0),
  };
}

/** `[vocabularySize]`: 1 for the tokens that an automaton takes in this state, else 0. */
export function tokensAfter(trie: VocabularyTrie, state: AutomatonState): Uint8Array {
  const { bytes, depths, ends, offsets, tokens } = trie;
  const allowed = new Uint8Array(trie.vocabularySize);
  const path = new Array<AutomatonState>(trie.maxDepth + 1);
  path[0] = state;
  for (let node = 0; node < bytes.length; ) {
    const depth = depths[node];
    const next = path[depth - 1].next(bytes[node]);
    if (next === null) {
      node = ends[node];
      continue;
    }
    path[depth] = next;
    for (let i = offsets[node]; i < offsets[node + 1]; i++) allowed[tokens[i]] = 1;
    node++;
  }
  return allowed;
}
