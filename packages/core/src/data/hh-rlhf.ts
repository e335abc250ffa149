import { UserError } from "../errors.js";
import { textId } from "./text-id.js";
import { type DamagedRow, type RowsOptions, readJsonRows, textField } from "./text-rows.js";

export interface Turn {
  role: "user" | "assistant";
  text: string;
}

/** Two ways to go on from one dialogue. */
export interface DialoguePair {
  id: string;
  /** Line of the file, counted from 1. */
  row: number;
  /** What both dialogues begin with, up to and with `Assistant:`. */
  prompt: string;
  /** The same in turns; the last is the user's. */
  turns: Turn[];
  /** What comes after the prompt, mostly one reply; "" where there is none. */
  chosen: string;
  rejected: string;
}

export interface HhPairs {
  pairs: DialoguePair[];
  damaged: DamagedRow[];
  /** Rows whose chosen or rejected reply is empty; the pair is kept. */
  emptyReplies: number[];
}

/**
 * Reads HH-RLHF (Bai et al. 2022): JSONL, plain or compressed with gzip, with `chosen` and `rejected`, two dialogues of
 * `\n\nHuman:` and `\n\nAssistant:` turns.
 *
 * @throws UserError with file and row for dialogues that are no such, have no common beginning, or are the same
 */
export async function readHhPairs(file: string, options: RowsOptions = {}): Promise<HhPairs> {
  const { items, damaged } = await readJsonRows(file, options, (values, place): DialoguePair => {
    const [chosen, rejected] = ["chosen", "rejected"].map((name) => textField(values, name, place));
    if (chosen === rejected) throw new UserError("chosen and rejected are the same", { place });
    const prompt = commonPrompt(chosen, rejected);
    if (prompt === "") {
      throw new UserError("chosen and rejected do not begin with the same turns", {
        place,
        hint: "Expected dialogues that begin with the same \\n\\nHuman: turn and go on with \\n\\nAssistant:.",
      });
    }
    const turns = parseDialogue(prompt);
    if (turns === undefined) {
      throw new UserError("the dialogue does not begin with a \\n\\nHuman: turn", { place });
    }
    return {
      id: textId(`${chosen}\n${rejected}`),
      row: place.row as number,
      prompt,
      turns: turns.slice(0, -1), // the last is the empty one of the assistant
      chosen: chosen.slice(prompt.length).trim(),
      rejected: rejected.slice(prompt.length).trim(),
    };
  });
  const emptyReplies = items
    .filter(({ chosen, rejected }) => chosen === "" || rejected === "")
    .map(({ row }) => row);
  return { pairs: items, damaged, emptyReplies };
}

const mark = "\n\nAssistant:";

/** The common beginning up to its last mark of an assistant's turn; "" where there is none. */
function commonPrompt(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  const at = a.slice(0, length).lastIndexOf(mark);
  return at < 0 ? "" : a.slice(0, at + mark.length);
}

/** The turns of a dialogue; undefined where it does not begin with one. */
export function parseDialogue(text: string): Turn[] | undefined {
  const parts = text.split(/\n\n(Human|Assistant):/);
  if (parts[0].trim() !== "" || parts[1] !== "Human") return undefined;
  return Array.from({ length: (parts.length - 1) / 2 }, (_, i) => ({
    role: parts[2 * i + 1] === "Human" ? "user" : "assistant",
    text: parts[2 * i + 2].trim(),
  }));
}
