import type { Random } from "../random.js";

/** One operation of a chain: `left operation right = result`, all whole numbers. */
export interface ArithmeticStep {
  left: number;
  operation: Operation;
  right: number;
  result: number;
}

export const operations = ["+", "-", "*", "/"] as const;
export type Operation = (typeof operations)[number];

export function apply(operation: Operation, left: number, right: number): number {
  if (operation === "+") return left + right;
  if (operation === "-") return left - right;
  return operation === "*" ? left * right : left / right;
}

/** How a story is told: indices into the lists of words, one for each choice. */
export interface Telling {
  name: number;
  item: number;
  /** One for the start, one for each step, one for the question. */
  phrasings: number[];
  /** Somebody else's things, told after so many sentences. */
  distractors: { name: number; item: number; number: number; after: number }[];
}

/** Words to tell with: the first so many of each list are in use. */
export interface Words {
  names: number;
  items: number;
  phrasings: number;
}

export const people = [
  ["Tom", "he"],
  ["Ann", "she"],
  ["Ben", "he"],
  ["Eva", "she"],
  ["Max", "he"],
  ["Lea", "she"],
  ["Sam", "he"],
  ["Ida", "she"],
  ["Jon", "he"],
  ["Mia", "she"],
  ["Leo", "he"],
  ["Zoe", "she"],
] as const;

export const things = [
  ["apple", "apples"],
  ["pear", "pears"],
  ["coin", "coins"],
  ["book", "books"],
  ["shell", "shells"],
  ["stamp", "stamps"],
  ["card", "cards"],
  ["nut", "nuts"],
  ["egg", "eggs"],
  ["pen", "pens"],
  ["ball", "balls"],
  ["cake", "cakes"],
] as const;

/** What a sentence is made of. After a sentence about somebody else it names the person and the things again. */
interface Said {
  /** `He` or `Tom`, and the same within a sentence. */
  He: string;
  he: string;
  number: number;
  /** `3`, or `3 apples`. */
  some: string;
  /** `3 more`, or `3 more apples`. */
  more: string;
  name: string;
  items: string;
}

const starts: readonly ((name: string, count: string) => string)[] = [
  (name, count) => `${name} has ${count}.`,
  (name, count) => `${name} owns ${count}.`,
  (name, count) => `At first ${name} has ${count}.`,
  (name, count) => `There are ${count} in front of ${name}.`,
];

const events: Record<Operation, readonly ((said: Said) => string)[]> = {
  "+": [
    ({ He, more }) => `${He} buys ${more}.`,
    ({ He, more }) => `${He} finds ${more}.`,
    ({ He, more }) => `${He} gets ${more}.`,
    ({ He, more }) => `${He} adds ${more}.`,
  ],
  "-": [
    ({ He, some }) => `${He} gives ${some} away.`,
    ({ He, some }) => `${He} loses ${some}.`,
    ({ He, some }) => `${He} sells ${some}.`,
    ({ He, some }) => `${He} drops ${some}.`,
  ],
  "*": [
    ({ he, number, items }) => `Then ${he} has ${number} times as many ${items}.`,
    ({ number, name, items }) => `The ${items} of ${name} become ${number} times as many.`,
    ({ He, number, items }) => `${He} makes it ${number} times as many ${items}.`,
    ({ he, number, items }) => `For each of the ${items} ${he} now has ${number}.`,
  ],
  "/": [
    ({ He, number, items }) => `${He} makes ${number} equal parts of the ${items} and keeps one part.`,
    ({ He, number, items }) => `${He} keeps one of ${number} equal parts of the ${items}.`,
    ({ he, number, items }) => `The ${items} are shared out in ${number} equal parts, ${he} gets one.`,
    ({ He, number, items }) => `${He} splits the ${items} by ${number} and takes one share.`,
  ],
};

const questions: readonly ((name: string, items: string) => string)[] = [
  (name, items) => `How many ${items} does ${name} have now?`,
  (name, items) => `How many ${items} are left with ${name}?`,
  (name, items) => `What is the number of ${items} that ${name} has?`,
  (name, items) => `In the end, how many ${items} does ${name} hold?`,
];

/** Largest values of {@link Words}. */
export const mostWords: Words = { names: people.length, items: things.length, phrasings: starts.length };

/** Draws how a story of so many steps is told. */
export function drawTelling(
  words: Words,
  steps: number,
  distractors: { count: number; number: () => number },
  random: Random,
): Telling {
  const name = random.integer(words.names);
  const item = random.integer(words.items);
  const phrasings = Array.from({ length: steps + 2 }, () => random.integer(words.phrasings));
  return {
    name,
    item,
    phrasings,
    distractors: Array.from({ length: distractors.count }, () => ({
      name: otherThan(name, people.length, random),
      item: otherThan(item, things.length, random),
      number: distractors.number(),
      after: random.integer(steps + 1) + 1,
    })),
  };
}

function otherThan(index: number, count: number, random: Random): number {
  return (index + 1 + random.integer(count - 1)) % count;
}

/** The sentences of a story without its question; the first is the start, each other one tells one step. */
export function tellEvents(
  steps: readonly ArithmeticStep[],
  { name, item, phrasings, distractors }: Telling,
): string[] {
  const [person, pronoun] = people[name];
  const said = ({ right }: ArithmeticStep, i: number): Said => {
    const again = distractors.some(({ after }) => after === i + 1);
    return {
      He: again ? person : `${pronoun[0].toUpperCase()}${pronoun.slice(1)}`,
      he: again ? person : pronoun,
      number: right,
      some: again ? countOf(right, item) : String(right),
      more: again ? countOf(right, item).replace(" ", " more ") : `${right} more`,
      name: person,
      items: things[item][1],
    };
  };
  return [
    starts[phrasings[0]](person, countOf(steps[0].left, item)),
    ...steps.map((step, i) => events[step.operation][phrasings[i + 1]](said(step, i))),
  ];
}

/** The whole question. */
export function tellStory(steps: readonly ArithmeticStep[], telling: Telling): string {
  const sentences = tellEvents(steps, telling).flatMap((sentence, i) => [
    sentence,
    ...telling.distractors
      .filter(({ after }) => after === i + 1)
      .map(({ name, item, number }) => `${people[name][0]} has ${countOf(number, item)}.`),
  ]);
  const question = questions[telling.phrasings[steps.length + 1]];
  return [...sentences, question(people[telling.name][0], things[telling.item][1])].join(" ");
}

const countOf = (number: number, item: number) => `${number} ${things[item][number === 1 ? 0 : 1]}`;

/** A step as a line of a solution: an equation, or a sentence that holds it. */
export function writeStep(
  { left, operation, right, result }: ArithmeticStep,
  style: "equations" | "sentences",
  { name, item }: Telling,
): string {
  const equation = `${left} ${operation} ${right} = ${result}`;
  return style === "equations" ? equation : `${people[name][0]} has ${equation} ${things[item][1]}.`;
}
