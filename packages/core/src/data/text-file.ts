import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { UserError } from "../errors.js";

/** Default limit on the size of a file that is read whole: 256 MiB. */
export const defaultMaxBytes = 2 ** 28;

/**
 * The bytes of a UTF-8 text file without its byte order mark. A file compressed with gzip is refused, unless
 * `gzip: "decompress"` says that it may be one; `maxBytes` then limits the text as well.
 *
 * @throws UserError when the file is missing, not a regular file, unreadable, longer than `maxBytes`,
 *   empty or not UTF-8; in the last case with the line
 */
export async function readTextFile(
  file: string,
  maxBytes = defaultMaxBytes,
  options: { gzip?: "refuse" | "decompress" } = {},
): Promise<Buffer> {
  let bytes: Buffer;
  try {
    // Before it is opened: opening a pipe waits for somebody to write.
    const stats = await stat(file);
    if (stats.isDirectory()) throw isFolder(file);
    if (!stats.isFile()) {
      throw new UserError("is a device or a pipe, expected a file", {
        place: { file },
        hint: "Write its content to a file first.",
      });
    }
    if (stats.size > maxBytes) throw tooLarge(file, stats.size, maxBytes);
    bytes = await readFile(file);
    if (options.gzip === "decompress") bytes = await decompressed(bytes, file, maxBytes);
  } catch (error) {
    throw readError(error, file);
  }
  const text = bytes.subarray(bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0);
  refuseInvalidUtf8(text, file);
  if (!/\S/.test(text.subarray(0, 1024).toString()) && text.toString().trim() === "") {
    throw new UserError("the file is empty", {
      place: { file },
      hint: "Expected at least one row.",
    });
  }
  return text;
}

const gunzipBytes = promisify(gunzip);

async function decompressed(bytes: Buffer, file: string, maxBytes: number): Promise<Buffer> {
  const place = { file };
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) {
    if (!file.endsWith(".gz")) return bytes;
    throw new UserError("is not compressed with gzip, though its name ends in .gz", {
      place,
      hint: "Take the ending away if it is plain text, or fetch the file again.",
    });
  }
  try {
    return await gunzipBytes(bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw new UserError(`unpacks to more than ${maxBytes} bytes`, {
        place,
        hint: "Split the file, or allow more bytes if you trust it.",
        cause,
      });
    }
    const isCut = code === "Z_BUF_ERROR";
    throw new UserError(isCut ? "the compressed file ends too early" : "the compressed file is damaged", {
      place,
      hint: "Fetch the file again: gzip -t tells whether it is whole.",
      cause,
    });
  }
}

/** Counts lines up to growing offsets: CRLF, LF and CR each end one line. */
export function lineCounter(bytes: Uint8Array): (offset: number) => number {
  let line = 1;
  let at = 0;
  return (offset) => {
    for (; at < offset; at++) {
      if (bytes[at] === 0x0a || (bytes[at] === 0x0d && bytes[at + 1] !== 0x0a)) line++;
    }
    return line;
  };
}

function refuseInvalidUtf8(bytes: Buffer, file: string): void {
  if (isUtf8(bytes)) return;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    throw new UserError("is compressed with gzip, expected text", {
      place: { file },
      hint: "Decompress it first: gzip -d.",
    });
  }
  let start = 0;
  let end = bytes.indexOf(0x0a);
  while (end >= 0 && isUtf8(bytes.subarray(start, end))) {
    start = end + 1;
    end = bytes.indexOf(0x0a, start);
  }
  throw new UserError("the text is not valid UTF-8", {
    place: { file, row: lineCounter(bytes)(start) },
    hint: "Save the file as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8.",
  });
}

function isFolder(file: string): UserError {
  return new UserError("is a folder, expected a file", { place: { file } });
}

function tooLarge(file: string, size: number, maxBytes: number): UserError {
  return new UserError(`the file has ${size} bytes, expected at most ${maxBytes}`, {
    place: { file },
    hint: "Split the file, or take fewer rows.",
  });
}

/** What to throw where a file could not be read. */
export function readError(error: unknown, file: string): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  const place = { file };
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new UserError("there is no such file", { place, hint: "Check the path.", cause: error });
  }
  if (code === "EISDIR") return isFolder(file);
  if (code === "EACCES" || code === "EPERM") {
    return new UserError("may not be read by this user", {
      place,
      hint: "Give yourself the right to read it, e.g. chmod u+r.",
      exitCode: 1,
      cause: error,
    });
  }
  return new UserError(`could not be read: ${error.message}`, { place, exitCode: 1, cause: error });
}
