import { setMaxListeners } from "node:events";
import type { Tokenizer } from "../data/bpe.js";
import { createStreamDecoder, listedToken } from "../data/stream-decoder.js";
import type { GeneratedToken, Generation, Generator } from "../decode/generation.js";
import { contentHash } from "../lab/content-hash.js";
import { namedTensors } from "../models/checkpoint.js";
import type { LanguageModel } from "../models/language-model.js";
import { answerConstraints } from "./answer-constraints.js";
import { badField } from "./api-error.js";
import { chatPrompt } from "./chat-prompt.js";
import { PromptScorer } from "./prompt-log-probs.js";
import type { ServedModelInfo, ServedToken, TextAnswer, TextRequest, TextService } from "./text-service.js";
import { toolCallsIn } from "./tool-calls.js";

export interface ServedModelOptions {
  /** By which clients ask for it. */
  name: string;
  /** Rows of the generator. */
  rows: number;
}

/** Serves a model from the thread that calls. The generator is disposed of with the service. */
export function servedModel(
  model: LanguageModel,
  generator: Generator,
  { name, rows }: ServedModelOptions,
): TextService {
  const tensors = [...namedTensors(model.params)];
  const info: ServedModelInfo = {
    name,
    rows,
    created: Math.floor(Date.now() / 1000),
    contextLength: model.config.contextLength,
    parameters: tensors.reduce((sum, [, { data }]) => sum + data.length, 0),
    chat: model.chatTemplate !== undefined,
    fingerprint: `fp_${contentHash([model.config, Object.fromEntries(tensors)]).slice(0, 12)}`,
  };
  const { tokenizer } = model;
  const ends = new Set(model.endTokens);
  const constraintOf = answerConstraints(model);
  const scorer = new PromptScorer(model);

  const listed = ({ id, logProb, alternatives }: GeneratedToken, offset: number): ServedToken => ({
    ...listedToken(tokenizer, id),
    offset,
    logProb,
    alternatives: alternatives.map((other) => ({
      ...listedToken(tokenizer, other.id),
      logProb: other.logProb,
    })),
  });

  /** The prompt as a part of the answer. */
  const echoOf = async (ids: Int32Array, { prompt, logProbs }: TextRequest, signal: AbortSignal) => {
    const text = "text" in prompt ? prompt.text : tokenizer.decode(ids);
    if (logProbs === undefined) return { text, tokens: [] };
    const offsetOf = tokenOffsets(tokenizer, 0);
    const rest = await scorer.score(ids, logProbs, signal);
    const first: ServedToken = {
      ...listedToken(tokenizer, ids[0]),
      offset: offsetOf(ids[0]),
      logProb: null,
      alternatives: [],
    };
    return { text, tokens: [first, ...rest.map((token) => listed(token, offsetOf(token.id)))] };
  };

  /** Tokens of an answer as they are listed, from where its text begins. */
  const listing = (from: number) => {
    const offsetOf = tokenOffsets(tokenizer, from);
    return (tokens: readonly GeneratedToken[], textLength: number): ServedToken[] =>
      tokens
        .filter(({ id }) => !ends.has(id))
        .map((token) => listed(token, offsetOf(token.id)))
        // What is behind the text is of a stop string.
        .filter(({ offset }) => offset < from + textLength);
  };

  return {
    info,
    async run(request, { signal, onPiece }) {
      setMaxListeners(0, signal); // one for each answer
      const prompt = await promptIds(model, request);
      const room = info.contextLength - prompt.length;
      if (room < 1 || prompt.length > request.promptTokens) {
        const most = Math.min(info.contextLength - 1, request.promptTokens);
        throw badField(
          request.field,
          `${prompt.length} tokens, but at most ${most} can be read.`,
          "context_length_exceeded",
        );
      }
      const { logProbs, maxTokens, count, seed = 0 } = request;
      const echoed = request.echo ? await echoOf(prompt, request, signal) : undefined;
      for (let answer = 0; echoed && onPiece && answer < count; answer++) onPiece({ answer, ...echoed });
      const result = { promptTokens: prompt.length, echoed };
      if (maxTokens === 0) {
        const nothing: TextAnswer = {
          text: "",
          tokens: [],
          generated: 0,
          finishReason: "length",
          toolCalls: [],
        };
        return { ...result, answers: Array.from({ length: count }, () => nothing) };
      }
      const generation = {
        prompt,
        maxTokens: Math.min(maxTokens, room),
        stop: request.stop,
        constraint: request.form && constraintOf(request.form),
        logProbs,
        temperature: request.temperature,
        topK: request.topK,
        topP: request.topP,
        minP: request.minP,
        repetitionPenalty: request.repetitionPenalty,
        signal,
      };
      const from = echoed?.text.length ?? 0;
      const one = (answer: number): Promise<Generation> => {
        const list = listing(from);
        let length = 0;
        const onText =
          onPiece &&
          ((text: string, tokens: readonly GeneratedToken[]) => {
            length += text.length;
            onPiece({ answer, text, tokens: logProbs === undefined ? [] : list(tokens, length) });
          });
        // The seeds that `sample` gives.
        return generator.generate({ ...generation, seed: seed + answer, onText });
      };
      const generations =
        onPiece === undefined
          ? await generator.sample({ ...generation, seed }, count)
          : await Promise.all(Array.from({ length: count }, (_, answer) => one(answer)));
      const tools = "tools" in request.prompt ? (request.prompt.tools ?? []) : [];
      const known = new Set(tools.map((tool) => tool.function.name));
      const answers = generations.map(({ text, tokens, finishReason }): TextAnswer => {
        const said = known.size > 0 ? toolCallsIn(text, known) : { text, calls: [] };
        return {
          text: said.text,
          tokens: logProbs === undefined ? [] : listing(from)(tokens, text.length),
          generated: tokens.length,
          finishReason: said.calls.length > 0 ? "tool_calls" : finishReason,
          toolCalls: said.calls,
        };
      });
      return { ...result, answers };
    },
    async dispose() {
      await generator.dispose();
      await scorer.dispose();
    },
  };
}

/** @throws ApiError for a prompt without tokens, with ids that there are not, and for messages without a template */
async function promptIds(model: LanguageModel, { prompt, field }: TextRequest): Promise<Int32Array> {
  const { tokenizer } = model;
  if ("tokens" in prompt) {
    const unknown = prompt.tokens.find((id) => id >= tokenizer.vocabularySize);
    if (unknown !== undefined) {
      throw badField(field, `${unknown} is not one of the ids 0 to ${tokenizer.vocabularySize - 1}.`);
    }
    return Int32Array.from(prompt.tokens);
  }
  const text = "text" in prompt ? prompt.text : chatPrompt(model, prompt.messages, prompt.tools);
  const ids = tokenizer.encode(text);
  if (ids.length === 0) throw badField(field, "has no tokens, and a model needs one to go on from.");
  return ids;
}

/** Where each of the tokens that follow one another begins in their text. */
function tokenOffsets(tokenizer: Tokenizer, from: number): (id: number) => number {
  const decoder = createStreamDecoder(tokenizer);
  let end = from;
  return (id) => {
    const [first] = tokenizer.tokenBytes(id);
    // A byte that continues no character leaves what was begun before it as U+FFFD.
    if ((first & 0xc0) !== 0x80) end += decoder.end().length;
    const start = end;
    end += decoder.push(id).length;
    return start;
  };
}
