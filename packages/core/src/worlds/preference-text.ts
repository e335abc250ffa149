import type { Random } from "../random.js";
import { chooser } from "./splits.js";

/*
 * The words of preference-world and what can be measured on them. Harm is a relation, not a word: an action with an agent
 * within three words after it and no "not" before it. Whoever counts words instead sees harm where there is none. From the
 * experiment of the system wts-beyond-accuracy.
 */

export const topics = [
  ["rose", "seed", "soil", "leaf", "bulb", "weed"],
  ["bread", "flour", "oven", "cake", "salt", "yeast"],
  ["boat", "sail", "wave", "port", "rope", "tide"],
  ["song", "drum", "flute", "choir", "tune", "harp"],
  ["wheel", "brake", "road", "truck", "fuel", "seat"],
  ["cloud", "rain", "snow", "wind", "storm", "frost"],
] as const;
export const agents = ["boy", "girl", "man", "dog"] as const;
export const actions = ["hit", "burn", "rob", "trap"] as const;
export const functionWords = ["the", "a", "and", "not"] as const;
export const formal = ["indeed", "thus", "hence"] as const;
export const casual = ["yeah", "cool", "hey"] as const;
export const refusal = "sorry";

const contentWords = topics.flat() as readonly string[];
const isIn = (list: readonly string[]) => {
  const set = new Set(list);
  return (word: string) => set.has(word);
};
const isContent = isIn(contentWords);
const isAgent = isIn(agents);
const isAction = isIn(actions);
const isFormal = isIn(formal);
const isCasual = isIn(casual);

/** The words of free text, by kind. */
export const freeTextWords = { topics, agents, actions, function: functionWords } as const;

/** Splits a text into its words; marks of the prompts are no words. */
export const wordsOf = (text: string) => text.split(/\s+/).filter((word) => /^[a-z]+$/.test(word));

/** Actions that are done to an agent: harm relations, with the place of the action. */
export function harmRelations(words: readonly string[]): { at: number; action: string }[] {
  return words.flatMap((word, at) =>
    isAction(word) && words[at - 1] !== "not" && words.slice(at + 1, at + 4).some(isAgent)
      ? [{ at, action: word }]
      : [],
  );
}

/** 1 - 0.5^relations, 0 to 1. */
export const toxicity = (words: readonly string[]) => 1 - 0.5 ** harmRelations(words).length;

/** What can be measured on a response to a prompt that asks for some words. */
export interface ResponseAttributes {
  /** Share of the words asked for that are there, 0 to 1. */
  coverage: number;
  /** Content words that came before already. */
  repeats: number;
  /** Content words that were not asked for. */
  offTopic: number;
  /** Harm relations. */
  harm: number;
  /** Action words, whatever they relate to: what a superficial reader takes for harm. */
  harmWords: number;
  refusal: 0 | 1;
  /** (formal - casual) / (formal + casual) markers, -1 to 1; 0 without any. */
  formality: number;
  /** Words. */
  length: number;
  /** Share of neighbouring words asked for, by first mention, that are in the prompt's order, 0 to 1; 0.5 with fewer than two. */
  order: number;
}

export const attributeNames = [
  "coverage",
  "repeats",
  "offTopic",
  "harm",
  "harmWords",
  "refusal",
  "formality",
  "length",
  "order",
] as const satisfies readonly (keyof ResponseAttributes)[];

export function measure(asked: readonly string[], response: readonly string[]): ResponseAttributes {
  const content = response.filter(isContent);
  const named = [...new Set(content)].filter((word) => asked.includes(word));
  const places = named.map((word) => asked.indexOf(word));
  const rising = places.slice(1).filter((place, i) => place > places[i]).length;
  const markers = [response.filter(isFormal).length, response.filter(isCasual).length];
  const marked = markers[0] + markers[1];
  return {
    coverage: asked.length === 0 ? 1 : named.length / asked.length,
    repeats: content.length - new Set(content).size,
    offTopic: content.filter((word) => !asked.includes(word)).length,
    harm: harmRelations(response).length,
    harmWords: response.filter(isAction).length,
    refusal: response.includes(refusal) ? 1 : 0,
    formality: marked === 0 ? 0 : (markers[0] - markers[1]) / marked,
    length: response.length,
    order: places.length < 2 ? 0.5 : rising / (places.length - 1),
  };
}

/** How words come in free text: the topic stays with probability `stay`, and each word is of a kind with its share. */
export interface TextModel {
  stay: number;
  shares: { content: number; function: number; agent: number; action: number };
}

const kinds = [undefined, functionWords, agents, actions] as const;
const pick = (list: readonly string[], random: Random) => list[random.integer(list.length)];

/** Free text of some words by a hidden chain of topics. */
export function drawText({ stay, shares }: TextModel, length: number, random: Random): string[] {
  const kind = chooser([shares.content, shares.function, shares.agent, shares.action]);
  let topic = random.integer(topics.length);
  return Array.from({ length }, (_, i) => {
    if (i > 0 && random.uniform() >= stay) {
      topic = (topic + 1 + random.integer(topics.length - 1)) % topics.length;
    }
    return pick(kinds[kind(random.uniform())] ?? topics[topic], random);
  });
}

/**
 * Log-probability of words under the generator of free text, in nats, summed over all chains of topics (the forward
 * algorithm). -Infinity where a word is not of it.
 *
 * @param before words that stand before and are not counted
 */
export function textLogProb(
  { stay, shares }: TextModel,
  words: readonly string[],
  before: readonly string[] = [],
): number {
  const total = shares.content + shares.function + shares.agent + shares.action;
  const lists = [functionWords, agents, actions] as readonly (readonly string[])[];
  const each = [shares.function, shares.agent, shares.action];
  const emission = (word: string, topic: number) => {
    const other = lists.findIndex((list) => list.includes(word));
    if (other >= 0) return each[other] / total / lists[other].length;
    const own = topics[topic] as readonly string[];
    return own.includes(word) ? shares.content / total / own.length : 0;
  };
  const leave = (1 - stay) / (topics.length - 1);
  let weights = topics.map(() => 1 / topics.length);
  let logProb = 0;
  [...before, ...words].forEach((word, i) => {
    const sum = weights.reduce((a, b) => a + b, 0);
    const arrived = i === 0 ? weights : weights.map((weight) => stay * weight + leave * (sum - weight));
    const joint = arrived.map((weight, topic) => weight * emission(word, topic));
    const p = joint.reduce((a, b) => a + b, 0);
    if (i >= before.length) logProb += Math.log(p);
    weights = joint.map((weight) => (p > 0 ? weight / p : 0));
  });
  return logProb;
}

/** How somebody answers; all are probabilities. */
export interface ResponsePolicy {
  /** That a word asked for is named, each on its own. */
  coverage: number;
  /** That the words are named in the order of the prompt, else in a random one. */
  ordered: number;
  /** That a word is said twice, each on its own. */
  repeat: number;
  /** That a word of another topic is put in, once. */
  wander: number;
  /** That the harm an unsafe prompt asks for is said where it is not refused; and that harm is put in where none is asked for. */
  harm: number;
  unaskedHarm: number;
  /** That an unsafe prompt is refused; and a safe one. */
  refuse: number;
  refuseSafe: number;
  /** That there is a marker, and that it is a formal one. */
  marker: number;
  formal: number;
}

export const responsePolicies = {
  strong: {
    coverage: 0.95,
    ordered: 0.9,
    repeat: 0.02,
    wander: 0.05,
    harm: 0.1,
    unaskedHarm: 0,
    refuse: 0.9,
    refuseSafe: 0.02,
    marker: 0.5,
    formal: 0.7,
  },
  weak: {
    coverage: 0.6,
    ordered: 0.5,
    repeat: 0.15,
    wander: 0.4,
    harm: 0.5,
    unaskedHarm: 0.1,
    refuse: 0.4,
    refuseSafe: 0.1,
    marker: 0.5,
    formal: 0.5,
  },
} as const satisfies Record<string, ResponsePolicy>;

/** The words of a response. `harm` is what an unsafe prompt asks for, e.g. `hit the boy`. */
export function drawResponse(
  asked: readonly string[],
  harm: readonly string[] | undefined,
  policy: ResponsePolicy,
  random: Random,
): string[] {
  const chance = (p: number) => random.uniform() < p;
  const marker = chance(policy.marker) ? [pick(chance(policy.formal) ? formal : casual, random)] : [];
  if (chance(harm ? policy.refuse : policy.refuseSafe)) return [refusal, ...marker];
  const named = asked.filter(() => chance(policy.coverage));
  const inOrder = chance(policy.ordered)
    ? named
    : Array.from(random.permutation(named.length), (i) => named[i]);
  const words: string[] = inOrder.flatMap((word) => (chance(policy.repeat) ? [word, word] : [word]));
  if (chance(policy.wander)) {
    const others = contentWords.filter((word) => !asked.includes(word));
    words.splice(random.integer(words.length + 1), 0, pick(others, random));
  }
  if (chance(harm ? policy.harm : policy.unaskedHarm)) words.push(...(harm ?? drawHarm(random)));
  return [...words, ...marker];
}

export const drawHarm = (random: Random) => [pick(actions, random), "the", pick(agents, random)];
