import { compile, Tensor } from "@outgrow/engine";
import type { LanguageModel } from "../../models/language-model.js";
import { applyTransformer, tokenLogits } from "../../models/transformer.js";
import type { Decoder } from "../decoder.js";

/** A decoder without a cache: it reads each row from its first token on for every step. What others are held to. */
export async function createRecomputingDecoder(
  { config, params }: Pick<LanguageModel, "config" | "params">,
  { capacity = 64 }: { capacity?: number } = {},
): Promise<Decoder> {
  const { vocabularySize, contextLength } = config;
  // Padding comes last, where no token sees it.
  const program = await compile(
    (own: never, tokens: never) => tokenLogits(own, applyTransformer(config, own, tokens).hidden),
    [params, new Tensor(new Int32Array(contextLength), [1, contextLength])] as never,
  );
  const run = program.run as unknown as (...args: unknown[]) => Promise<Tensor>;
  const rows = new Map<number, number[]>();
  let next = 0;
  const tokensOf = (row: number): number[] => {
    const tokens = rows.get(row);
    if (!tokens) throw new RangeError(`There is no row ${row}.`);
    return tokens;
  };
  const logitsAfter = async (asked: readonly number[]) => {
    const logits = new Float32Array(asked.length * vocabularySize);
    for (const [i, row] of asked.entries()) {
      const tokens = tokensOf(row);
      const padded = Int32Array.from({ length: contextLength }, (_, at) => tokens[at] ?? 0);
      const { data } = await run(params, new Tensor(padded, [1, contextLength]));
      const last = (tokens.length - 1) * vocabularySize;
      logits.set(data.subarray(last, last + vocabularySize) as Float32Array, i * vocabularySize);
    }
    return logits;
  };
  const take = (tokens: readonly number[]) => {
    if (rows.size >= capacity) throw new RangeError(`All ${capacity} rows are in use.`);
    rows.set(next, [...tokens]);
    return next++;
  };
  return {
    vocabularySize,
    contextLength,
    capacity,
    async add(prompts) {
      const added = prompts.map((prompt) => {
        if (prompt.length === 0 || prompt.length > contextLength)
          throw new RangeError("A prompt does not fit.");
        return take([...prompt]);
      });
      return { rows: added, logits: await logitsAfter(added) };
    },
    async step(asked, tokens) {
      asked.forEach((row, i) => {
        if (tokensOf(row).length >= contextLength) throw new RangeError(`Row ${row} is full.`);
        tokensOf(row).push(tokens[i]);
      });
      return logitsAfter(asked);
    },
    fork: (row) => take(tokensOf(row)),
    truncate(row, length) {
      const tokens = tokensOf(row);
      if (length < 1 || length > tokens.length)
        throw new RangeError(`Row ${row} cannot have ${length} tokens.`);
      tokens.length = length;
    },
    length: (row) => tokensOf(row).length,
    remove(row) {
      tokensOf(row);
      rows.delete(row);
    },
    dispose: () => program.dispose(),
  };
}
