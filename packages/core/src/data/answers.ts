import { evaluateExpression } from "./expression.js";
import { formatRational, isEqual, type Rational } from "./rational.js";

/** How a text says its final answer. */
export type AnswerFormat =
  /** `#### 18`, as in GSM8K; `# 4` as in table-walk. */
  | "hash"
  /** `\boxed{18}`, as in MATH. */
  | "boxed"
  /** `The answer is 18`, `The answer is: 18`, `Answer: 18`, `A: 18`. */
  | "phrase"
  /** The last number of a text that says no answer in any other way. */
  | "last-number";

export interface ExtractOptions {
  /** Formats that count. A `last-number` counts only where none of the others is found. Default: all but `last-number`. */
  formats?: readonly AnswerFormat[];
  /** Which one counts where a text gives several answers. Default `last`. */
  pick?: "first" | "last";
}

const markers: Record<Exclude<AnswerFormat, "boxed">, RegExp> = {
  hash: /(?:^|[^#])(?:####|#)(?!#)[ \t]*([^\s#][^\n#]*)/g,
  phrase: /(?:\banswer(?: is\b[ \t]*:?|[ \t]*:)|^[ \t]*A:)[ \t]*([^\s][^\n]*)/gim,
  "last-number": /(-?\$?(?:\d[\d,]*\.?\d*|\.\d+)(?:\/\d+)?%?)/g,
};

/**
 * The final answer of a response, as it is written there, without a full stop at its end; "" where there is none. Where
 * the formats find several, the one that stands first or last in the text counts, by `pick`.
 */
export function extractAnswer(text: string, options: ExtractOptions = {}): string {
  const { formats = ["hash", "boxed", "phrase"], pick = "last" } = options;
  const said = formats
    .filter((format) => format !== "last-number")
    .flatMap((format) => (format === "boxed" ? boxed(text) : marked(text, markers[format])))
    .sort((a, b) => a.at - b.at);
  const found =
    said.length > 0 || !formats.includes("last-number") ? said : marked(text, markers["last-number"]);
  return (pick === "first" ? found[0] : found.at(-1))?.answer ?? "";
}

interface Found {
  at: number;
  answer: string;
}

function marked(text: string, marker: RegExp): Found[] {
  return [...text.matchAll(marker)]
    .map((match) => ({ at: match.index, answer: trimAnswer(match[1]) }))
    .filter(({ answer }) => answer !== "");
}

function boxed(text: string): Found[] {
  const found: Found[] = [];
  const opening = /\\boxed\s*\{/g;
  for (let match = opening.exec(text); match !== null; match = opening.exec(text)) {
    let depth = 1;
    let end = opening.lastIndex;
    while (end < text.length && depth > 0) {
      if (text[end] === "{") depth++;
      else if (text[end] === "}") depth--;
      end++;
    }
    if (depth > 0) break; // never closed, and so is no later one
    found.push({ at: match.index, answer: trimAnswer(text.slice(opening.lastIndex, end - 1)) });
    opening.lastIndex = end;
  }
  return found.filter(({ answer }) => answer !== "");
}

const trimAnswer = (text: string) => text.trim().replace(/[.\s]+$/, "");

/**
 * The same text for answers that mean the same. Numbers: thousands commas, dollar signs and units after the number go,
 * fractions (also `\frac{1}{2}`) and decimals of equal value agree, `50%` is 50. Other texts: lower case, single spaces.
 */
export function normaliseAnswer(answer: string): string {
  const number = numberOf(answer);
  if (number !== undefined) return formatRational(number);
  return trimAnswer(answer).toLowerCase().replace(/\s+/g, " ");
}

function numberOf(answer: string): Rational | undefined {
  const plain = trimAnswer(answer)
    .replace(/\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}/g, "($1)/($2)")
    .replace(/\\(?:text|mathrm)\s*\{[^{}]*\}|\\[!,;: ]/g, "")
    .replace(/\\?[%°]/g, "")
    .replace(/\\?[$€£]/g, "");
  if (!/^[-+−(.\d]/.test(plain)) return undefined;
  // "18 apples" is 18; "18 or 20" and "3x" are no numbers.
  const [, value = "", unit = ""] =
    /^([-+−(.\d][-+−*/().,\d\s]*?)\s*((?:\s[a-z][a-z\s.]*)?)$/i.exec(plain) ?? [];
  if (/\b(?:or|and|to)\b/i.test(unit)) return undefined;
  return evaluateExpression(value);
}

/** Whether two answers mean the same; an empty one is equal to none, not even to another. */
export function sameAnswer(a: string, b: string): boolean {
  if (a.trim() === "" || b.trim() === "") return false;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) return isEqual(x, y);
  return normaliseAnswer(a) === normaliseAnswer(b);
}

export interface Vote {
  /** The winning answer as it was first written; "" where most are empty or, with `ties: "none"`, several lead. */
  answer: string;
  /** Votes of the winner, or of each leader. */
  votes: number;
  /** Votes of the winner among all answers, empty ones too, 0 to 1. */
  share: number;
  /** Whether several answers lead. */
  tied: boolean;
}

/**
 * The most frequent answer; answers that mean the same are one, and all empty answers are one. Of several leaders the
 * first that was given wins; with `ties: "none"` nobody does.
 *
 * @param answers at least one
 */
export function majorityVote(answers: readonly string[], options: { ties?: "first" | "none" } = {}): Vote {
  if (answers.length === 0) throw new RangeError("a vote of no answers");
  const groups = new Map<string, { answer: string; votes: number }>();
  for (const answer of answers) {
    const key = normaliseAnswer(answer);
    const group = groups.get(key);
    if (group) group.votes++;
    else groups.set(key, { answer: answer.trim(), votes: 1 });
  }
  const votes = Math.max(...[...groups.values()].map((group) => group.votes));
  const leaders = [...groups.values()].filter((group) => group.votes === votes);
  const tied = leaders.length > 1;
  const answer = tied && options.ties === "none" ? "" : leaders[0].answer;
  return { answer, votes, share: votes / answers.length, tied };
}
