import { access, constants, lstat, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { UserError } from "outgrow";

/**
 * The absolute path of a folder of results that is yet to be made. Refuses before the long work what could only fail
 * after it: a path where there is something already, or where nothing may be written.
 *
 * @throws UserError with exit code 1, and with 2 for an empty path
 */
export async function newFolder(path: string): Promise<string> {
  if (path.trim() === "") {
    throw new UserError("the path of the results is empty, expected a folder that is yet to be made", {
      hint: "Give --out a path, or leave it out.",
    });
  }
  const folder = resolve(path);
  const refused = (message: string, hint: string, cause?: unknown) =>
    new UserError(message, { place: { file: path }, hint, exitCode: 1, cause });
  if (await exists(folder)) {
    throw refused("there is something at this path already", "Remove it, or choose another path with --out.");
  }
  let parent = dirname(folder);
  while (!(await exists(parent))) parent = dirname(parent);
  try {
    if (!(await stat(parent)).isDirectory()) {
      throw refused("a part of the path is a file, not a folder", "Choose another path with --out.");
    }
    await access(parent, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const isReadOnly = (error as NodeJS.ErrnoException).code === "EROFS";
    throw refused(
      isReadOnly ? "the disk is read-only" : "may not be written by this user",
      "Choose another path with --out.",
      error,
    );
  }
  return folder;
}

/** Whether there is anything at a path, a broken link included. */
const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
