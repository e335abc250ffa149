import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { makeFolder, writeFileAtomic } from "../files.js";
import { contentHash } from "../lab/content-hash.js";
import type { RemoteText } from "./answers.js";

/** What an answer depends on; keys of the server are no part of it. */
export interface CachedRequest {
  url: string;
  body: Record<string, unknown>;
  /** Which of several answers, where they may differ. */
  sample?: number;
}

const token = z.object({ text: z.string(), logProb: z.number() });
const entry = z.object({
  version: z.literal(1),
  key: z.string(),
  answer: z.object({
    text: z.string(),
    finishReason: z.enum(["stop", "length", "content_filter", "tool_calls"]),
    refusal: z.string().optional(),
    logProbs: z
      .array(token.extend({ logProb: z.number().nullable(), alternatives: z.array(token) }))
      .optional(),
    usage: z.object({ promptTokens: z.number(), completionTokens: z.number() }).optional(),
  }),
});

/**
 * Answers on disk, each in a file named by the hash of what it depends on. Files appear whole, so that several processes
 * may share the folder; one that is damaged counts as absent.
 */
export class AnswerCache {
  constructor(private readonly folder: string) {}

  async get(key: string): Promise<RemoteText | undefined> {
    try {
      const { success, data } = entry.safeParse(JSON.parse(await readFile(this.path(key), "utf8")));
      return success && data.key === key ? data.answer : undefined;
    } catch {
      return undefined; // absent or damaged: asked for again
    }
  }

  async put(key: string, request: CachedRequest, answer: RemoteText): Promise<void> {
    const path = this.path(key);
    await makeFolder(dirname(path));
    await writeFileAtomic(path, `${JSON.stringify({ version: 1, key, request, answer }, null, 1)}\n`);
  }

  private path(key: string): string {
    return join(this.folder, key.slice(0, 2), `${key}.json`);
  }
}

export const cacheKey = (request: CachedRequest): string => contentHash(request);
