import { type AddedToken, metaspace, type Vocabulary } from "./vocabulary.js";
import { wordRegExp } from "./word-rules.js";

/** A piece of text: the id of an added token, or a word. */
type Piece = number | string;

/** Cuts a text, which must be well-formed UTF-16, into added tokens and words. */
export function textCutter(vocabulary: Pick<Vocabulary, "addedTokens" | "normalizer" | "words">) {
  const { addedTokens, normalizer } = vocabulary;
  const normalize = normalizers[normalizer];
  const inText = tokenFinder(addedTokens.filter((token) => !token.normalized));
  const inNormalized = tokenFinder(
    addedTokens
      .filter((token) => token.normalized)
      .map((token) => ({ ...token, content: normalize(token.content) })),
  );
  const words = wordCutter(vocabulary.words);
  return (text: string): Piece[] => {
    const pieces: Piece[] = [];
    inText(text, (piece, at) => {
      if (typeof piece === "number") return pieces.push(piece);
      return inNormalized(normalize(piece), (part, within) => {
        if (typeof part === "number") pieces.push(part);
        else for (const word of words(part, at + within === 0)) pieces.push(word);
      });
    });
    return pieces;
  };
}

const normalizers: Record<Vocabulary["normalizer"], (text: string) => string> = {
  none: (text) => text,
  nfc: (text) => text.normalize("NFC"),
  "prepend-space": (text) => (text === "" ? "" : metaspace + text.replaceAll(" ", metaspace)),
};

function wordCutter(rule: Vocabulary["words"]): (text: string, first: boolean) => readonly string[] {
  if (rule.units === "bytes") {
    const words = wordRegExp(rule.pattern);
    if (!rule.singleDigits) return (text) => text.match(words) ?? [];
    // With a capture group, a split keeps what it cuts at.
    return (text) => text.split(/(\p{N})/u).flatMap((part) => part.match(words) ?? []);
  }
  const { space, cutAtSpaces } = rule;
  return (text, first) => {
    const spaced = text.replaceAll(" ", metaspace);
    const prepend = !spaced.startsWith(metaspace) && (space === "always" || (space === "first" && first));
    const whole = prepend ? metaspace + spaced : spaced;
    return cutAtSpaces ? (whole.match(/\u2581?[^\u2581]*/g) ?? []).filter((word) => word !== "") : [whole];
  };
}

interface TrieNode {
  next: Map<number, TrieNode>;
  token?: AddedToken;
}

/** Cuts a text at tokens: the leftmost, and of those the longest. Gives ids and non-empty texts with where they begin. */
function tokenFinder(tokens: readonly AddedToken[]) {
  const root: TrieNode = { next: new Map() };
  for (const token of tokens) {
    let node = root;
    for (let i = 0; i < token.content.length; i++) {
      const unit = token.content.charCodeAt(i);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = { next: new Map() };
        node.next.set(unit, next);
      }
      node = next;
    }
    node.token ??= token;
  }
  const beginnings = [...root.next.keys()].map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
  const beginning = new RegExp(`[${beginnings.join("")}]`, "g");
  return (text: string, give: (piece: Piece, at: number) => void): void => {
    let done = 0;
    for (let at = 0; at < text.length; ) {
      beginning.lastIndex = at;
      const found = beginning.exec(text);
      if (found === null) break;
      at = found.index;
      let token: AddedToken | undefined;
      let node = root.next.get(text.charCodeAt(at));
      for (let end = at + 1; node !== undefined; end++) {
        token = node.token ?? token;
        node = node.next.get(text.charCodeAt(end)); // NaN beyond the end, which is in no node
      }
      if (token === undefined) {
        at++;
        continue;
      }
      let start = at;
      at += token.content.length;
      let end = at;
      if (token.lstrip) while (start > done && isSpace(text, start - 1)) start--;
      if (token.rstrip) while (isSpace(text, end)) end++;
      if (start > done) give(text.slice(done, start), done);
      give(token.id, start);
      done = end;
    }
    if (done < text.length) give(text.slice(done), done);
  };
}

const isSpace = (text: string, at: number) => at < text.length && /\p{White_Space}/u.test(text[at]);
