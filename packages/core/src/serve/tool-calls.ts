export interface ToolCall {
  name: string;
  /** JSON, as OpenAI's API has it. */
  arguments: string;
}

/** As Qwen's and Hermes' templates have it. */
const tagged = /<tool_call>\s*([\s\S]*?)\s*<\/tool_call>/g;

/**
 * The calls in an answer of a model that was told of tools, and the text beside them: between `<tool_call>` tags (Qwen, Hermes), or
 * the whole answer as JSON with a name and arguments (Llama 3, guided decoding). What is no call of a known tool stays text.
 */
export function toolCallsIn(text: string, known: ReadonlySet<string>): { text: string; calls: ToolCall[] } {
  const whole = callIn(text, known);
  if (whole) return { text: "", calls: [whole] };
  const calls: ToolCall[] = [];
  const rest = text.replace(tagged, (all, json: string) => {
    const call = callIn(json, known);
    if (call) calls.push(call);
    return call ? "" : all;
  });
  return calls.length === 0 ? { text, calls } : { text: rest.trim(), calls };
}

function callIn(json: string, known: ReadonlySet<string>): ToolCall | undefined {
  if (!json.trimStart().startsWith("{")) return undefined;
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { name, arguments: given = value.parameters } = value;
  if (typeof name !== "string" || !known.has(name)) return undefined;
  if (typeof given !== "object" || given === null || Array.isArray(given)) return undefined;
  return { name, arguments: JSON.stringify(given) };
}
