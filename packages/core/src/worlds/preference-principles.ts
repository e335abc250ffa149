import type { Random } from "../random.js";
import { casual, formal, type ResponseAttributes } from "./preference-text.js";

/*
 * Principles that can be stated in words and checked exactly, each with its antithesis and three ways to say it. After the
 * experiment of the system sami.
 */

export const aspects = ["length", "focus", "tone", "order"] as const;
export type Aspect = (typeof aspects)[number];

export const poles = {
  length: ["short", "long"],
  focus: ["covering", "focused"],
  tone: ["formal", "casual"],
  order: ["ordered", "reversed"],
} as const satisfies Record<Aspect, readonly [string, string]>;

/** What is wanted of each aspect that is named. */
export type Principles = { [A in Aspect]?: (typeof poles)[A][number] };
export type Pole = NonNullable<Principles[Aspect]>;

const sayings: Record<Pole, readonly [string, string, string]> = {
  short: ["be brief", "say little", "keep it short"],
  long: ["be long", "say much", "take your time"],
  covering: ["name all", "leave nothing out", "be complete"],
  focused: ["name few", "stay with one thing", "be narrow"],
  formal: ["be formal", "speak with care", "stay polite"],
  casual: ["be casual", "speak freely", "stay relaxed"],
  ordered: ["keep the order", "go from first to last", "follow the list"],
  reversed: ["turn the order", "go from last to first", "start at the end"],
};

/** Principles with the opposite of each. */
export function antithesis(principles: Principles): Principles {
  const turned = Object.entries(principles).map(([aspect, pole]) => {
    const [one, other] = poles[aspect as Aspect] as readonly [string, string];
    return [aspect, pole === one ? other : one];
  });
  return Object.fromEntries(turned) as Principles;
}

/** Principles in words, in a random order, each in one of the first so many of its three ways. */
export function statePrinciples(principles: Principles, random: Random, ways = 3): string {
  const wanted = Object.values(principles) as Pole[];
  const stated = Array.from(
    random.permutation(wanted.length),
    (i) => sayings[wanted[i]][random.integer(ways)],
  );
  return stated.join(" ; ");
}

/** Whether a response is what a principle wants, for prompts that ask for six words. */
export function followsPrinciple(pole: Pole, attributes: ResponseAttributes): boolean {
  const { length, coverage, formality, order } = attributes;
  switch (pole) {
    case "short":
      return length <= 4;
    case "long":
      return length >= 7;
    case "covering":
      return coverage >= 5 / 6 - 1e-9;
    case "focused":
      return coverage > 0 && coverage <= 2 / 6 + 1e-9;
    case "formal":
      return formality > 0;
    case "casual":
      return formality < 0;
    case "ordered":
      return order === 1;
    case "reversed":
      return order === 0;
  }
}

/**
 * The words of a response in which each principle is followed with probability `rate`, else its antithesis; aspects without
 * a principle are drawn. Short and covering at once cannot be: such a response is covering, with five words and a marker.
 */
export function drawPrincipled(
  asked: readonly string[],
  principles: Principles,
  rate: number,
  random: Random,
): string[] {
  const drawn = (aspect: Aspect): string => {
    const [one, other] = poles[aspect] as readonly [string, string];
    const wanted = principles[aspect];
    if (wanted === undefined) return random.integer(2) === 0 ? one : other;
    const opposite = wanted === one ? other : one;
    return random.uniform() < rate ? wanted : opposite;
  };
  const [length, focus, tone, order] = aspects.map(drawn);
  const count = focus === "focused" ? 2 : length === "short" ? 5 : 6;
  const chosen = new Set(random.permutation(asked.length).subarray(0, count));
  const named = asked.filter((_, i) => chosen.has(i));
  if (order === "reversed") named.reverse();
  const times = focus === "focused" && length === "long" ? 3 : 1;
  const marker = tone === "formal" ? formal : casual;
  return [...named.flatMap((word) => Array<string>(times).fill(word)), marker[random.integer(marker.length)]];
}
