import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { type Tokenizer, tokenizerFromJSON } from "./bpe.js";

/** A tokenizer with what a model's folder says about its use. */
export interface TokenizerFolder {
  tokenizer: Tokenizer;
  /** Id of the token that begins a text, of the one that ends it, and of the one that fills rows up, where the folder names them. */
  bosToken?: number;
  eosToken?: number;
  padToken?: number;
  /** The template for chats without a name, or called "default". */
  chatTemplate?: string;
  /** All templates by name, e.g. "tool_use". */
  chatTemplates: Readonly<Record<string, string>>;
}

export const tokenizerFileNames = {
  tokenizer: "tokenizer.json",
  config: "tokenizer_config.json",
  template: "chat_template.jinja",
} as const;

/** Largest sizes in bytes. The largest tokenizers in use have 35 MB. */
const limits = { tokenizer: 2 ** 27, config: 2 ** 24, template: 2 ** 20 };

/**
 * Reads `tokenizer.json` of a folder, and what is there of `tokenizer_config.json` and `chat_template.jinja` (which goes before
 * a template in the former).
 *
 * @throws UserError with the file, where one is missing, too large, damaged or of a kind that cannot be used
 */
export async function readTokenizerFolder(folder: string): Promise<TokenizerFolder> {
  const tokenizerFile = join(folder, tokenizerFileNames.tokenizer);
  const text = await readLimited(tokenizerFile, limits.tokenizer);
  if (text === undefined) {
    throw new UserError("there is no such file", {
      place: { file: tokenizerFile },
      hint: "Expected the folder of a model in Hugging Face's layout. Models with only tokenizer.model must be converted first.",
    });
  }
  const tokenizer = within(tokenizerFile, () => tokenizerFromJSON(parseJSON(text)));
  const configFile = join(folder, tokenizerFileNames.config);
  const configText = await readLimited(configFile, limits.config);
  const settings =
    configText === undefined
      ? { chatTemplates: {} }
      : within(configFile, () => parseTokenizerConfig(parseJSON(configText), tokenizer));
  const template = await readLimited(join(folder, tokenizerFileNames.template), limits.template);
  const chatTemplates = template === undefined ? settings.chatTemplates : { default: template };
  const chatTemplate = Object.hasOwn(chatTemplates, "default") ? chatTemplates.default : undefined;
  return { tokenizer, ...settings, chatTemplates, ...(chatTemplate === undefined ? {} : { chatTemplate }) };
}

/**
 * What a parsed `tokenizer_config.json` says: a chat template as a string or as a list of named ones; tokens as strings or objects.
 * @throws UserError where one of these is something else, or a token is not in the vocabulary
 */
export function parseTokenizerConfig(
  config: unknown,
  tokenizer: Tokenizer,
): Omit<TokenizerFolder, "tokenizer" | "chatTemplate"> {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new UserError("the tokenizer's configuration is not an object");
  }
  const fields = config as Record<string, unknown>;
  const tokens = { bosToken: "bos_token", eosToken: "eos_token", padToken: "pad_token" } as const;
  const found = Object.entries(tokens).flatMap(([name, field]) => {
    const token = tokenOf(fields[field], field);
    return token === undefined ? [] : [[name, idOf(token, field, tokenizer)]];
  });
  return { ...Object.fromEntries(found), chatTemplates: templatesOf(fields.chat_template) };
}

function templatesOf(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (typeof value === "string") return { default: value };
  const entries = Array.isArray(value) ? value.map(namedTemplate) : undefined;
  if (entries === undefined || entries.includes(undefined)) {
    throw new UserError("chat_template is neither a text nor a list of objects with name and template");
  }
  return Object.fromEntries(entries as [string, string][]);
}

function namedTemplate(value: unknown): [string, string] | undefined {
  const { name, template } = (value ?? {}) as Record<string, unknown>;
  return typeof name === "string" && typeof template === "string" ? [name, template] : undefined;
}

function tokenOf(value: unknown, field: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  const content = typeof value === "object" ? (value as Record<string, unknown>).content : value;
  if (typeof content !== "string") {
    throw new UserError(`${field} is ${quote(value)}, expected a text or an object with content`);
  }
  return content;
}

function idOf(token: string, field: string, tokenizer: Tokenizer): number {
  if (Object.hasOwn(tokenizer.specialTokens, token)) return tokenizer.specialTokens[token];
  const ids = tokenizer.encode(token);
  if (ids.length !== 1) {
    throw new UserError(`${field} ${quote(token)} is not a token of the vocabulary`, {
      hint: "tokenizer_config.json and tokenizer.json must be of the same model.",
    });
  }
  return ids[0];
}

/** The file's text; undefined where it is not there. */
async function readLimited(file: string, maxBytes: number): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > maxBytes) {
      throw new UserError(`the file has ${size} bytes, expected at most ${maxBytes}`, { place: { file } });
    }
    return await readFile(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof UserError) throw error;
    throw new UserError(`could not be read: ${message}`, { place: { file }, exitCode: 1, cause: error });
  }
}

function parseJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`is not JSON: ${(error as Error).message}`, {
      hint: "The file may be cut off. Download it again.",
      cause: error,
    });
  }
}

/** Errors with the file that they are about. */
function within<Result>(file: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof UserError) || error.place?.file !== undefined) throw error;
    throw new UserError(error.message, {
      place: { file },
      hint: error.hint,
      exitCode: error.exitCode,
      cause: error.cause,
    });
  }
}

const quote = (value: unknown) => (JSON.stringify(value) ?? String(value)).slice(0, 80);
