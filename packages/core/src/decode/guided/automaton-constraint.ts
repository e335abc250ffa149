import type { Tokenizer } from "../../data/bpe.js";
import { UserError } from "../../errors.js";
import type { Constraint, ConstraintState } from "../generation.js";
import { type AutomatonState, compileAutomaton } from "./automaton.js";
import type { Expression } from "./expression.js";
import { tokensAfter, vocabularyTrie } from "./vocabulary-trie.js";

/** Memory for the masks of one constraint; the oldest are forgotten. */
const maxMaskBytes = 32 * 2 ** 20;

/**
 * Lets a text be exactly one that satisfies an expression. The mask of a state is found when it is first asked for, and kept,
 * as in Outlines (Willard and Louf 2023) and XGrammar (Dong et al. 2024).
 *
 * @param name what the text has to be, for messages
 */
export function automatonConstraint(
  name: string,
  expression: Expression,
  tokenizer: Tokenizer,
  endTokens: readonly number[],
): Constraint {
  const strange = endTokens.find((id) => !(Number.isInteger(id) && id >= 0 && id < tokenizer.vocabularySize));
  if (strange !== undefined) {
    throw new UserError(`end token ${strange} is not one of the ${tokenizer.vocabularySize} tokens`);
  }
  const automaton = compileAutomaton(expression);
  if (automaton === undefined) {
    throw new UserError(`no text can be ${name}`, {
      hint: "Its parts exclude each other, or it contains itself without an end.",
    });
  }
  const trie = vocabularyTrie(tokenizer, endTokens);
  const ends = new Set(endTokens);
  const special = new Set(Object.values(tokenizer.specialTokens));

  const masks = new Map<AutomatonState, Uint8Array>();
  const mostMasks = Math.max(1, Math.floor(maxMaskBytes / tokenizer.vocabularySize));
  const maskOf = (state: AutomatonState): Uint8Array => {
    let mask = masks.get(state);
    if (mask === undefined) {
      mask = tokensAfter(trie, state);
      if (state.accepts) for (const id of endTokens) mask[id] = 1;
      else if (!mask.includes(1)) {
        throw new UserError(`no token of the vocabulary can go on with what is to be ${name}`, {
          hint: "The tokenizer lacks bytes that it needs; a byte-level tokenizer has them all.",
        });
      }
      if (masks.size >= mostMasks) masks.delete(masks.keys().next().value as AutomatonState);
      masks.set(state, mask);
    }
    return mask;
  };

  const over: ConstraintState = {
    allowed: new Uint8Array(tokenizer.vocabularySize),
    mayEnd: true,
    after: (token) => refuse(token),
  };
  const refuse = (token: number): never => {
    throw new UserError(`token ${token} may not come next in what is to be ${name}`);
  };
  const at = (state: AutomatonState): ConstraintState => ({
    get allowed() {
      return maskOf(state);
    },
    mayEnd: state.accepts,
    after(token) {
      if (ends.has(token)) return state.accepts ? over : refuse(token);
      if (special.has(token)) refuse(token);
      let next: AutomatonState | null = state;
      const bytes = tokenizer.tokenBytes(token);
      for (const byte of bytes) {
        next = next.next(byte);
        if (next === null) return refuse(token);
      }
      return bytes.length === 0 ? refuse(token) : at(next);
    },
  });
  return { start: () => at(automaton) };
}
