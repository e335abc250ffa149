import { createHash } from "node:crypto";

/** The same 16 hexadecimal digits for the same text. */
export const textId = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);
