import { type Place, UserError } from "../errors.js";
import { column, placeOf, readTable } from "./table.js";
import { type DamagedRow, type RowsOptions, readJsonRows, textField } from "./text-rows.js";

/** A text with a class, e.g. a request that is safe (1) or not (0). */
export interface JudgedText {
  /** Line of the file, counted from 1. */
  row: number;
  text: string;
  label: 0 | 1;
}

export interface JudgedTexts {
  items: JudgedText[];
  /** Rows that say the same of the same text as an earlier one; they are left out. */
  repeated: number;
  /** Texts that are judged differently in different rows; all their rows are left out. */
  contradicted: { text: string; rows: number[] }[];
}

/**
 * Reads a CSV file of prompts that are safe or not, with the columns `prompt` and `is_safe` (Ye et al. 2024): true, True, 1, yes or
 * safe, and false, False, 0, no or unsafe.
 *
 * @throws UserError with the row for an empty or unknown label and for an empty prompt
 */
export function readSafetyPrompts(
  file: string,
  { prompt = "prompt", isSafe = "is_safe" }: { prompt?: string; isSafe?: string } = {},
): Promise<JudgedTexts> {
  return readJudged(file, {
    text: (field) => field(prompt),
    needs: [prompt],
    label: isSafe,
    forms: safeForms,
  });
}

/**
 * Reads LegalBench's privacy_policy_qa (Guha et al. 2023): a TSV file with the columns `question`, `text` and `answer`, which is
 * Relevant (1) or Irrelevant (0). A text is the question, a line break and the clause.
 *
 * @throws UserError with the row for an empty or unknown answer, question or clause
 */
export function readRelevanceQuestions(file: string): Promise<JudgedTexts> {
  return readJudged(file, {
    text: (field) => `${field("question")}\n${field("text")}`,
    needs: ["question", "text"],
    label: "answer",
    forms: new Map([
      ["relevant", 1],
      ["irrelevant", 0],
    ]),
    separator: "\t",
  });
}

const safeForms = new Map<string, 0 | 1>([
  ...["true", "1", "yes", "safe"].map((form): [string, 1] => [form, 1]),
  ...["false", "0", "no", "unsafe"].map((form): [string, 0] => [form, 0]),
]);

interface Judgements {
  text(field: (name: string) => string): string;
  needs: readonly string[];
  label: string;
  forms: ReadonlyMap<string, 0 | 1>;
  separator?: "\t";
}

async function readJudged(
  file: string,
  { text, needs, label, forms, separator }: Judgements,
): Promise<JudgedTexts> {
  const table = await readTable(file, {
    wanted: [...needs, label],
    separator,
    ...(separator && { format: "csv" }),
  });
  const columns = new Map([...needs, label].map((name) => [name, column(table, name)]));
  const rows = table.rows.map(({ line }, i): JudgedText => {
    const refuse = (name: string, message: string, hint?: string) =>
      new UserError(message, { place: placeOf(table, i, name), hint });
    const field = (name: string) => {
      const value = columns.get(name)?.[i];
      const given = value === undefined || value === null ? "" : String(value).trim();
      if (given === "") throw refuse(name, `${name} is empty`, "Fill it in, or take the row out.");
      return given;
    };
    const said = field(label);
    const known = forms.get(said.toLowerCase());
    if (known === undefined) {
      const expected = [...forms.keys()].join(", ");
      throw refuse(
        label,
        `${label} is ${JSON.stringify(said)}`,
        `Expected one of: ${expected}, in any case.`,
      );
    }
    return { row: line, text: text(field), label: known };
  });
  const byText = new Map<string, JudgedText[]>();
  for (const item of rows) byText.set(item.text, [...(byText.get(item.text) ?? []), item]);
  const groups = [...byText.values()];
  const agree = (group: JudgedText[]) => group.every((item) => item.label === group[0].label);
  return {
    items: groups.filter(agree).map(([first]) => first),
    repeated: groups.filter(agree).reduce((sum, group) => sum + group.length - 1, 0),
    contradicted: groups
      .filter((group) => !agree(group))
      .map((group) => ({ text: group[0].text, rows: group.map(({ row }) => row) })),
  };
}

/** A beginning and how a person went on. */
export interface ContinuedPrompt {
  /** Line of the file, counted from 1. */
  row: number;
  prompt: string;
  continuation: string;
  /** As the file has them, 0 to 1; null where it was not scored. */
  promptToxicity: number | null;
  continuationToxicity: number | null;
}

/**
 * Reads RealToxicityPrompts (Gehman et al. 2020): JSONL, plain or compressed with gzip, with `prompt` and `continuation`, each with
 * `text` and perhaps `toxicity`.
 *
 * @throws UserError with the row for what is missing or no text
 */
export async function readToxicityPrompts(
  file: string,
  options: RowsOptions = {},
): Promise<{ items: ContinuedPrompt[]; damaged: DamagedRow[] }> {
  return readJsonRows(file, options, (values, place) => {
    const part = (name: string) => {
      const value = values[name];
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new UserError(`${name} is missing or no object, expected one with a text`, {
          place: { ...place, column: name },
        });
      }
      const fields = value as Record<string, unknown>;
      const text = textField(fields, "text", { ...place, column: name });
      return { text, toxicity: scoreOf(fields.toxicity) };
    };
    const [prompt, continuation] = [part("prompt"), part("continuation")];
    if (prompt.text.trim() === "") {
      throw new UserError("the prompt is empty", { place: { ...place, column: "prompt" } });
    }
    return {
      row: place.row as number,
      prompt: prompt.text,
      continuation: continuation.text,
      promptToxicity: prompt.toxicity,
      continuationToxicity: continuation.toxicity,
    };
  });
}

/** A text that some model wrote, scored elsewhere. */
export interface ScoredGeneration {
  row: number;
  promptId: string;
  model: string;
  /** Number of the sample of its prompt. */
  sample: number;
  text: string;
  /** 0 to 1; null where it was not scored or the score is no such number. An empty text has 0. */
  toxicity: number | null;
}

export interface ScoredGenerations {
  items: ScoredGeneration[];
  damaged: DamagedRow[];
  /** Generations without a usable score. */
  unscored: number;
  /** Rows whose text is empty: never toxic, and the worst there is. */
  empty: number[];
}

/**
 * Reads generations that were made and scored elsewhere: JSONL with `prompt_id`, `model`, `sample`, `text` and `toxicity`.
 *
 * @throws UserError with the row for what is missing, and for a sample that is there twice
 */
export async function readScoredGenerations(
  file: string,
  options: RowsOptions = {},
): Promise<ScoredGenerations> {
  const seen = new Map<string, number>();
  const { items, damaged } = await readJsonRows(file, options, (values, place): ScoredGeneration => {
    const text = textField(values, "text", place);
    const sample = wholeNumber(values, "sample", place);
    const promptId =
      typeof values.prompt_id === "number" ? String(values.prompt_id) : textField(values, "prompt_id", place);
    const model = textField(values, "model", place);
    const key = JSON.stringify([promptId, model, sample]);
    const row = place.row as number;
    const before = seen.get(key);
    if (before !== undefined) {
      throw new UserError(`sample ${sample} of ${model} for prompt ${promptId} is already in row ${before}`, {
        place,
      });
    }
    seen.set(key, row);
    return {
      row,
      promptId,
      model,
      sample,
      text,
      toxicity: text.trim() === "" ? 0 : scoreOf(values.toxicity),
    };
  });
  return {
    items,
    damaged,
    unscored: items.filter(({ toxicity }) => toxicity === null).length,
    empty: items.filter(({ text }) => text.trim() === "").map(({ row }) => row),
  };
}

/** The scores of one model, `[prompts][samples]`, by prompts and samples in their order in the file. */
export function scoresByPrompt(items: readonly ScoredGeneration[], model: string): (number | null)[][] {
  const groups = new Map<string, (number | null)[]>();
  for (const item of items) {
    if (item.model !== model) continue;
    groups.set(item.promptId, [...(groups.get(item.promptId) ?? []), item.toxicity]);
  }
  if (groups.size === 0) {
    const models = [...new Set(items.map((item) => item.model))].join(", ");
    throw new UserError(`there is no generation of ${JSON.stringify(model)}`, {
      hint: `Models here: ${models}`,
    });
  }
  return [...groups.values()];
}

const scoreOf = (value: unknown): number | null =>
  typeof value === "number" && value >= 0 && value <= 1 ? value : null;

function wholeNumber(values: Record<string, unknown>, name: string, place: Place): number {
  const value = values[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new UserError(
    `${name} is ${JSON.stringify(value) ?? "missing"}, expected a whole number of at least 0`,
    {
      place: { ...place, column: name },
    },
  );
}
