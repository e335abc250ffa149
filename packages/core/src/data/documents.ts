import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { readTextFile } from "./text-file.js";
import { textId } from "./text-id.js";

export interface TextDocument {
  id: string;
  text: string;
  file: string;
  /** Line of the file on which it starts, counted from 1. */
  row: number;
}

export interface DocumentsOptions {
  /** What ends a document: the `file` (the default), a `line`, or a `blank-line`. */
  separator?: "file" | "line" | "blank-line";
  /** In a folder, files with these endings are read; compressed ones have `.gz` after it. Default `.txt` and `.md`. */
  endings?: readonly string[];
  /** Largest size of a file, and of its text where it is compressed. Default 256 MiB. */
  maxBytes?: number;
  /** Largest sum of all texts in bytes. Default 2 GiB. */
  maxTotalBytes?: number;
}

/**
 * Reads plain text as documents: a file, or all files in a folder and its subfolders, by name. Links in a folder are not
 * followed. Where lines part documents, line ends become \n. Documents of white space alone are left out; of equal
 * documents only the first is kept.
 *
 * @throws UserError with the file for what is missing, too large, damaged or not UTF-8, and where no document is found
 */
export async function readDocuments(path: string, options: DocumentsOptions = {}): Promise<TextDocument[]> {
  const { separator = "file", endings = [".txt", ".md"], maxTotalBytes = 2 ** 31 } = options;
  const files = await filesOf(path, endings);
  const documents = new Map<string, TextDocument>();
  let total = 0;
  for (const file of files) {
    const bytes = await readTextFile(file, options.maxBytes, { gzip: "decompress" });
    total += bytes.length;
    if (total > maxTotalBytes) {
      throw new UserError(`the files have more than ${maxTotalBytes} bytes of text`, {
        place: { file },
        hint: "Read fewer files at a time, or allow more bytes.",
      });
    }
    for (const { text, row } of cut(bytes, separator)) {
      const id = textId(text);
      if (!documents.has(id)) documents.set(id, { id, text, file, row });
    }
  }
  if (documents.size > 0) return [...documents.values()];
  throw new UserError(files.length === 0 ? "the folder has no text files" : "there is no document", {
    place: { file: path },
    hint: `Files that end in ${endings.join(", ")} are read, also with .gz after it.`,
  });
}

async function filesOf(path: string, endings: readonly string[]): Promise<string[]> {
  const isFolder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false, // what is wrong, reading it says
  );
  if (!isFolder) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && endings.some((end) => entry.name.replace(/\.gz$/, "").endsWith(end)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function cut(bytes: Buffer, separator: "file" | "line" | "blank-line"): { text: string; row: number }[] {
  if (separator === "file") {
    const text = bytes.toString();
    return text.trim() === "" ? [] : [{ text, row: 1 }];
  }
  const whole = bytes.toString().replace(/\r\n?/g, "\n");
  const end = separator === "line" ? /\n/g : /\n(?:[ \t]*\n)+/g;
  const documents: { text: string; row: number }[] = [];
  let [start, row] = [0, 1];
  for (const { index, 0: found } of [...whole.matchAll(end), { index: whole.length, 0: "" }]) {
    const text = whole.slice(start, index);
    if (text.trim() !== "") documents.push({ text, row });
    start = index + found.length;
    row += text.split("\n").length - 1 + found.split("\n").length - 1;
  }
  return documents;
}
