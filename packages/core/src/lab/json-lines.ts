import { fstatSync, ftruncateSync, openSync, readFileSync } from "node:fs";

/** Opens a file of lines for appending, without the half line that a killed writer may have left. */
export function openForLines(path: string): number {
  const file = openSync(path, "a+");
  const { size } = fstatSync(file);
  if (size > 0) ftruncateSync(file, readFileSync(path).lastIndexOf("\n") + 1);
  return file;
}

/** The whole lines of a file of JSON lines; none where there is no file. What is no JSON is told apart by `undefined`. */
export function readLines<T>(path: string): (T | undefined)[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      try {
        return JSON.parse(line) as T;
      } catch {
        return undefined;
      }
    });
}
