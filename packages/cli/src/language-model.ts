import { join, resolve } from "node:path";
import { languageModels } from "@outgrow/systems";
import {
  type ChatMessage,
  columnName,
  type DocumentsOptions,
  environment,
  type Given,
  given,
  type LanguageModel,
  parseConfig,
  readDocuments,
  readTable,
  report,
  runName,
  type StageOutput,
  type StageRunOptions,
  UserError,
} from "outgrow";
import { z } from "zod";
import { newFolder } from "./new-folder.js";
import { type Job, perform, type RunOptions, type Work } from "./perform.js";
import { hashed, readModel } from "./read-model.js";

const pretrainSchema = languageModels.pretrainingSchema.extend({
  texts: z.array(z.string()).min(1),
  separator: z.enum(["file", "line", "blank-line"]).optional(),
  model: z.string().optional(),
});
const finetuneSchema = languageModels.finetuningSchema.extend({
  model: z.string(),
  examples: z.string(),
  prompt: z.string().default("prompt"),
  answer: z.string().default("answer"),
});

type PretrainOptions = RunOptions &
  Partial<z.input<typeof languageModels.pretrainingSchema>> & {
    separator?: DocumentsOptions["separator"];
    model?: string;
  };
type FinetuneOptions = RunOptions & Partial<z.input<typeof finetuneSchema>>;

/** `outgrow pretrain TEXTS...`: a language model of a user's own texts. */
export async function pretrain(
  texts: string[],
  options: PretrainOptions,
  signal: AbortSignal,
): Promise<void> {
  await newFolder(options.out ?? join("runs", runName("pretrain"))); // before large files are read
  const { model } = options;
  const configuration = {
    ...configurationOf(options),
    texts: texts.map((path) => resolve(path)),
    ...(model !== undefined && { model: resolve(model) }),
  };
  await perform(await pretrainJob(configuration), { ...options, signal });
}

/** `outgrow finetune MODEL EXAMPLES`: a model learns to answer. */
export async function finetune(
  model: string,
  examples: string,
  options: FinetuneOptions,
  signal: AbortSignal,
): Promise<void> {
  await newFolder(options.out ?? join("runs", runName("finetune")));
  const paths = { model: resolve(model), examples: resolve(examples) };
  await perform(await finetuneJob({ ...configurationOf(options), ...paths }), { ...options, signal });
}

export async function pretrainJob(given: Record<string, unknown>): Promise<Job> {
  const configuration = parseConfig(pretrainSchema, given, "pretrain");
  const { texts: paths, separator, model, ...config } = configuration;
  const documents = (await Promise.all(paths.map((path) => readDocuments(path, { separator })))).flat();
  const files = [...new Set(documents.map(({ file }) => file))];
  const start = model === undefined ? undefined : await readModel(model);
  const texts = givenOf(documents.map(({ text }) => text));
  return {
    kind: "pretrain",
    configuration,
    inputs: { ...(await hashed(files, "text")), ...start?.inputs },
    work: (lab, signal) =>
      trained("a language model is pretrained", configuration, signal, (options) =>
        lab.run(
          languageModels.pretrainTextsStage,
          config,
          { texts, start: start?.model ?? givenOf<LanguageModel | null>(null) },
          options,
        ),
      ),
  };
}

export async function finetuneJob(given: Record<string, unknown>): Promise<Job> {
  const configuration = parseConfig(finetuneSchema, given, "finetune");
  const { model: folder, examples: file, prompt, answer, ...config } = configuration;
  const model = await readModel(folder);
  const examples = givenOf(await readExamples(file, prompt, answer));
  return {
    kind: "finetune",
    configuration,
    inputs: { ...(await hashed([file], "examples")), ...model.inputs },
    work: (lab, signal) =>
      trained("a language model is finetuned", configuration, signal, (options) =>
        lab.run(languageModels.finetuneStage, config, { model: model.model, examples }, options),
      ),
  };
}

const givenOf = <T>(value: T): Given<T> => given(value);

/** Rows with a list of messages, or with a prompt and an answer. */
async function readExamples(
  file: string,
  prompt: string,
  answer: string,
): Promise<languageModels.FinetuningExample[]> {
  const table = await readTable(file);
  const refuse = (line: number, column: string, what: string): never => {
    throw new UserError(what, { place: { file, row: line, column } });
  };
  if (table.columns.includes("messages")) {
    const schema = z.array(z.looseObject({ role: z.string(), content: z.string().nullable() })).min(1);
    return table.rows.map(({ values, line }) => {
      const { data } = schema.safeParse(values.messages);
      if (!data) return refuse(line, "messages", "expected a list of messages with role and content");
      return { messages: data as ChatMessage[] };
    });
  }
  const [asked, answered] = [columnName(table, prompt), columnName(table, answer)];
  return table.rows.map(({ values, line }) => {
    const text = (column: string): string => {
      const value = values[column];
      return typeof value === "string" ? value : refuse(line, column, "expected a text");
    };
    return { prompt: text(asked), answer: text(answered) };
  });
}

async function trained(
  title: string,
  configuration: { seed: number },
  signal: AbortSignal,
  run: (options: StageRunOptions) => Promise<StageOutput>,
): Promise<Work> {
  const started = performance.now();
  const progress = report.createProgress(process.stderr);
  let output: StageOutput;
  try {
    const stage = progress.begin(title);
    output = await run({ signal, onProgress: (fraction, detail) => stage.update(fraction, detail) });
    stage.done(output.cached ? "reused" : undefined);
  } finally {
    progress.finish();
  }
  const { curve, files } = await languageModels.trainedModel(output);
  const { losses, validation, bestStep, trained, heldOut, tooLong, parameters } = curve;
  const leftOut = `${tooLong} examples are longer than the context and were left out.`;
  const last = losses[losses.length - 1];
  const kept = validation.find(({ step }) => step === bestStep);
  const lead =
    `${title[0].toUpperCase()}${title.slice(1)}: ${parameters} parameters, ${last.step} steps, training loss ` +
    `${losses[0].loss.toFixed(3)} at first and ${last.loss.toFixed(3)} at the end` +
    (kept ? `; ${kept.loss.toFixed(3)} on held-out texts at step ${bestStep}, whose weights are kept.` : ".");
  const table: report.ReportTable = {
    title: "Loss",
    caption: "Nats per token.",
    columns: [
      { name: "step", align: "right" },
      { name: "training", align: "right" },
      { name: "held out", align: "right" },
    ],
    rows: losses
      .filter(({ step }, i) => step === last.step || i % Math.ceil(losses.length / 12) === 0)
      .map(({ step, loss }) => [step, loss, nearest(validation, step)]),
  };
  return {
    records: curve,
    outcome: {
      report: {
        title,
        lead,
        facts: [
          { label: "Parameters", value: parameters },
          { label: "Trained on", value: trained },
          { label: "Held out", value: heldOut },
          { label: "Wall time", value: report.formatDuration(performance.now() - started) },
        ],
        tables: [table],
        figures: [],
        notes: tooLong > 0 ? [leftOut] : [],
        configuration,
        environment: { seed: String(configuration.seed), ...environment() },
      },
      files,
      results: {
        "training loss": last.loss,
        ...(kept && { "held-out loss": kept.loss, perplexity: Math.exp(kept.loss) }),
      },
    },
    print(folder) {
      console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}\n\n${lead}\n`);
      if (tooLong > 0) console.log(`Note: ${leftOut}`);
      console.log(`Report   ${join(folder, "report.html")}`);
      console.log(`Model    ${join(folder, "model")} (Hugging Face's layout)`);
    },
  };
}

/** The held-out loss at a step or at the last validation before it. */
const nearest = (validation: readonly { step: number; loss: number }[], step: number): number | null =>
  validation.findLast((entry) => entry.step <= step)?.loss ?? null;

/** The options that are no run's, where they were given. */
function configurationOf({ out, json, tensorboard, checkpoint, ...options }: RunOptions): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
