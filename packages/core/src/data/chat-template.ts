import { createContext, Script } from "node:vm";
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { UserError } from "../errors.js";
import type { Tokenizer } from "./bpe.js";

/** A message as OpenAI's interface and chat templates have it; the names are theirs. */
export interface ChatMessage {
  role: ChatRole;
  /** Null where an assistant only calls tools. */
  content: string | null;
  name?: string;
  /** Of an assistant; templates want the arguments as an object. */
  tool_calls?: readonly { id?: string; type: "function"; function: { name: string; arguments: unknown } }[];
  /** Of a tool: the call that it answers. */
  tool_call_id?: string;
}

const chatRoles = ["system", "developer", "user", "assistant", "tool"] as const;
export type ChatRole = (typeof chatRoles)[number];

export interface RenderChatOptions {
  /** Whether the prompt ends where the assistant's answer begins. Default false. */
  addGenerationPrompt?: boolean;
  /** JSON schemas of the functions that the assistant may call, as in OpenAI's `tools`. */
  tools?: readonly object[];
  /**
   * What templates that name today's date are told, in UTC. Default: 26 July 2024, which Llama 3 falls back to, so that the
   * same messages always have the same prompt.
   */
  date?: Date;
  /** What else the template may ask for, e.g. `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>;
}

/** What of a language model a chat needs. */
export interface ChatModel {
  tokenizer: Tokenizer;
  endTokens: readonly number[];
  chatTemplate?: string;
}

/** A template with the tokens that it may ask for. */
export interface ChatTemplate {
  template: string;
  /** For errors, e.g. its file. */
  name: string;
  bosToken: string;
  eosToken: string;
}

/** The tokens that {@link chatMLTemplate} needs, to be given to `trainBpe` as special tokens. A text is over after the second. */
export const chatMLTokens = ["<|im_start|>", "<|im_end|>"] as const;

/** ChatML: the template of models that are trained here. */
export const chatMLTemplate = `{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;

/** The longest template, the longest text and list that one may make, and the time that it may take. */
const limits = { template: 2 ** 20, text: 2 ** 22, list: 100_000, milliseconds: 2000 };

/**
 * The prompt of a chat by a Jinja template. Templates come from outside: they reach nothing but what is given to them, and
 * their time and the length of what they make are limited.
 *
 * @throws UserError where there is no template, for messages with roles that are not known, for a template that is not well-formed,
 *   fails, refuses the messages (`raise_exception`) or takes too long; its name is in the error
 */
export function renderChat(
  model: ChatModel | ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderChatOptions = {},
): string {
  refuseRoles(messages);
  const { template, name, bosToken, eosToken } = "template" in model ? model : templateOf(model);
  if (template.length > limits.template) {
    throw failed(name, `has ${template.length} characters, expected at most ${limits.template}`);
  }
  const { addGenerationPrompt = false, tools, date = new Date("2024-07-26T00:00:00Z"), variables } = options;
  let refusal: string | undefined;
  const globals = {
    ...variables,
    messages,
    tools: tools ?? null,
    add_generation_prompt: addGenerationPrompt,
    bos_token: bosToken,
    eos_token: eosToken,
    raise_exception: (reason: unknown) => {
      refusal = String(reason);
      throw new Error(refusal);
    },
    strftime_now: (format: unknown) => formatDate(date, String(format)),
    range: limitedRange,
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
  };
  try {
    return withinTime(() => {
      const environment = new Environment();
      for (const [variable, value] of Object.entries(globals)) environment.set(variable, value);
      const program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
      return String(new LimitedInterpreter(environment).run(program).value);
    });
  } catch (error) {
    if (refusal !== undefined) throw failed(name, `refuses the messages: ${refusal}`, error);
    throw failed(name, `cannot be used: ${reasonOf(error)}`, error);
  }
}

/** A chat as a model is finetuned on it: on what the assistant says. */
export interface EncodedChat {
  /** `[tokens]` */
  ids: Int32Array;
  /** `[tokens]`: 1 for what the assistant says, the token that ends it among them, else 0. */
  mask: Uint8Array;
}

/**
 * The tokens of a chat, with a mask of those that are the assistant's. These are found by rendering the chat up to before and up
 * to after each of its messages, so that any template will do.
 *
 * @throws UserError as {@link renderChat}, and where a template renders a message otherwise once others follow it
 */
export function encodeChat(
  model: ChatModel | (ChatTemplate & { tokenizer: Tokenizer }),
  messages: readonly ChatMessage[],
  options: Omit<RenderChatOptions, "addGenerationPrompt"> = {},
): EncodedChat {
  const { tokenizer } = model;
  const special = new Set(Object.values(tokenizer.specialTokens));
  const text = renderChat(model, messages, options);
  const ids = tokenizer.encode(text);
  const mask = new Uint8Array(ids.length);
  const tokensUpTo = (count: number, addGenerationPrompt: boolean) => {
    const part = renderChat(model, messages.slice(0, count), { ...options, addGenerationPrompt });
    if (!text.startsWith(part)) {
      throw new UserError(
        `the chat template renders message ${count + (addGenerationPrompt ? 1 : 0)} otherwise when others follow it`,
        { hint: "Train on the chat up to each answer by itself, or use another template." },
      );
    }
    return commonPrefix(tokenizer.encode(part), ids);
  };
  messages.forEach(({ role }, i) => {
    if (role !== "assistant") return;
    const start = tokensUpTo(i, true);
    let end = tokensUpTo(i + 1, false);
    // A template may go on after the token that ends the message, e.g. by a line break, which no model has to say.
    const last = ids.subarray(start, end).findLastIndex((id) => special.has(id));
    if (last >= 0 && tokenizer.decode(ids.subarray(start + last + 1, end)).trim() === "")
      end = start + last + 1;
    mask.fill(1, start, end);
  });
  return { ids, mask };
}

function templateOf({ chatTemplate, tokenizer, endTokens }: ChatModel): ChatTemplate {
  if (chatTemplate === undefined) {
    throw new UserError("the model has no chat template", {
      hint: "It continues texts and was not made for chats. Give it a plain prompt.",
    });
  }
  const [bos] = tokenizer.encode("", { addSpecialTokens: true });
  const spelled = (id: number | undefined) =>
    id === undefined ? "" : Buffer.from(tokenizer.tokenBytes(id)).toString();
  return {
    template: chatTemplate,
    name: "of the model",
    bosToken: spelled(bos),
    eosToken: spelled(endTokens[0]),
  };
}

function refuseRoles(messages: readonly ChatMessage[]): void {
  for (const [i, { role }] of messages.entries()) {
    if (!chatRoles.includes(role)) {
      throw new UserError(
        `message ${i + 1} has role ${JSON.stringify(role)}, expected one of ${chatRoles.join(", ")}`,
      );
    }
  }
}

/** What is used of the library's interpreter; its own types are not found under Node's rules for modules. */
interface JinjaInterpreter {
  run(program: unknown): { value: unknown };
  evaluate(statement: unknown, environment: unknown): { value: unknown };
}

/** Looks at what every expression makes, so that nothing grows without bounds. */
class LimitedInterpreter extends (Interpreter as unknown as new (environment: unknown) => JinjaInterpreter) {
  override evaluate(statement: unknown, environment: unknown) {
    const result = super.evaluate(statement, environment);
    const { value } = result;
    if (typeof value === "string" && value.length > limits.text) {
      throw new Error(`it makes more than ${limits.text} characters`);
    }
    if (Array.isArray(value) && value.length > limits.list) {
      throw new Error(`it makes a list of more than ${limits.list}`);
    }
    return result;
  }
}

function limitedRange(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  const length = Math.ceil((to - from) / step);
  if (!(length <= limits.list)) throw new Error(`it makes a list of more than ${limits.list}`);
  return Array.from({ length: Math.max(0, length) }, (_, i) => from + i * step);
}

/** Of Python's strftime, what templates use. */
function formatDate(date: Date, format: string): string {
  const month = (style: "short" | "long") =>
    new Intl.DateTimeFormat("en-US", { month: style, timeZone: "UTC" }).format(date);
  const two = (value: number) => String(value).padStart(2, "0");
  const fields: Record<string, () => string> = {
    Y: () => String(date.getUTCFullYear()),
    m: () => two(date.getUTCMonth() + 1),
    d: () => two(date.getUTCDate()),
    H: () => two(date.getUTCHours()),
    M: () => two(date.getUTCMinutes()),
    S: () => two(date.getUTCSeconds()),
    b: () => month("short"),
    B: () => month("long"),
    "%": () => "%",
  };
  return format.replace(/%([YmdHMSbB%])/g, (_, field) => fields[field]());
}

const call = new Script("run()");
let context: { run?: () => unknown } | undefined;

/** Runs a function that is stopped when its time is over; Node has this for scripts only. */
function withinTime<Result>(body: () => Result): Result {
  context ??= createContext({});
  let result: { value: Result } | undefined;
  context.run = () => {
    result = { value: body() };
  };
  call.runInContext(context, { timeout: limits.milliseconds });
  return (result as unknown as { value: Result }).value;
}

function reasonOf(error: unknown): string {
  if ((error as NodeJS.ErrnoException).code === "ERR_SCRIPT_EXECUTION_TIMEOUT") {
    return `it takes longer than ${limits.milliseconds / 1000} seconds`;
  }
  return error instanceof Error && error.message !== ""
    ? error.message
    : "a statement stands where it may not";
}

const failed = (name: string, reason: string, cause?: unknown) =>
  new UserError(`the chat template ${name} ${reason}`, {
    hint: "See chat_template in the model's tokenizer_config.json, or its chat_template.jinja.",
    cause,
  });

function commonPrefix(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return length;
}
