import type { Random } from "../random.js";
import { SentenceState } from "./grammar.js";
import type { CorpusDocument, Domain, GrammarCorpusConfig, SharedTokens, Span } from "./grammar-corpus.js";
import {
  copyLength,
  type Definition,
  linkedKeys,
  linkShare,
  type SlotKind,
  slotShares,
  valuedKeys,
} from "./grammar-slots.js";
import { chooser } from "./splits.js";

type Written = Pick<CorpusDocument, "tokens" | "topic" | "uses" | "isJunk" | "spans" | "reasoningDensity">;

/** Draws a document of a domain with all that is known of it. */
export function writeDocument(
  config: GrammarCorpusConfig,
  domain: Domain,
  shared: SharedTokens,
  random: Random,
): Written {
  const { documentLength } = config;
  const topic = random.integer(config.topics);
  const isJunk = random.uniform() < config.junk;
  const { uses } =
    config.intensities[chooser(config.intensities.map(({ weight }) => weight))(random.uniform())];
  const tokens: number[] = [];
  const spans: Span[] = [];
  const definitions = new Map<number, Definition>();
  let inUses = 0;

  const pick = <Item>(items: readonly Item[]): Item => items[random.integer(items.length)];
  const sentence = () => {
    const start = tokens.length;
    let state = SentenceState.begin(domain.grammar, domain.lexicon, config.markers);
    while (!state.isOver && tokens.length < documentLength) {
      const { marker } = state;
      if (marker) {
        spans.push({ kind: "agreement", ...here(1), source: start + marker.from });
        tokens.push(shared.markers[marker.marker]);
        state = state.afterMarker();
      } else {
        const word = state.draw(topic, random);
        tokens.push(domain.lexicon.words[word]);
        state = state.afterWord(word);
      }
    }
    tokens.push(shared.stop);
  };
  const here = (length: number, offset = 0) => ({
    start: tokens.length + offset,
    end: tokens.length + offset + length,
  });

  const write: Record<SlotKind, () => void> = {
    sentence,
    definition() {
      const free = shared.keys.flatMap((_, key) => (definitions.has(key) ? [] : [key]));
      const key = pick(free);
      const isLink = random.uniform() < linkShare(config, definitions);
      const at = tokens.length + 2;
      const definition: Definition = isLink
        ? { link: pick(valuedKeys(definitions)), at }
        : { value: random.integer(shared.values.length), at };
      const to = isLink ? shared.keys[definition.link as number] : shared.values[definition.value as number];
      spans.push({ kind: "definition", ...here(1, 2), source: at });
      tokens.push(shared.keys[key], shared.equals, to, shared.stop);
      definitions.set(key, definition);
    },
    use() {
      const key = pick(valuedKeys(definitions));
      const { value, at } = definitions.get(key) as Definition;
      spans.push({ kind: "use", ...here(1, 3), source: at });
      tokens.push(shared.use, shared.keys[key], shared.gives, shared.values[value as number], shared.stop);
    },
    "two-hop"() {
      const key = pick(linkedKeys(definitions));
      const { value, at } = definitions.get(definitions.get(key)?.link as number) as Definition;
      spans.push({ kind: "two-hop", ...here(1, 3), source: at });
      tokens.push(
        shared.twoHops,
        shared.keys[key],
        shared.gives,
        shared.values[value as number],
        shared.stop,
      );
    },
    copy() {
      const from = tokens.length - copyLength;
      spans.push({ kind: "copy", ...here(copyLength, 1), source: from });
      tokens.push(shared.copy, ...tokens.slice(from));
    },
  };

  if (isJunk) {
    sentence();
    const period = tokens.length;
    if (period < documentLength)
      spans.push({ kind: "repetition", start: period, end: documentLength, source: 0 });
    while (tokens.length < documentLength) tokens.push(tokens[tokens.length - period]);
  } else {
    const kinds = Object.keys(write) as SlotKind[];
    while (tokens.length < documentLength) {
      const shares = slotShares(config, uses, definitions, tokens.length);
      const kind = kinds[chooser(kinds.map((kind) => shares[kind]))(random.uniform())];
      const start = tokens.length;
      write[kind]();
      if (kind === "use" || kind === "two-hop") inUses += Math.min(tokens.length, documentLength) - start;
    }
  }
  return {
    tokens: Int32Array.from(tokens.slice(0, documentLength)),
    topic,
    uses: isJunk ? 0 : uses,
    isJunk,
    spans: spans
      .filter(({ start }) => start < documentLength)
      .map((span) => ({ ...span, end: Math.min(span.end, documentLength) })),
    reasoningDensity: inUses / documentLength,
  };
}
