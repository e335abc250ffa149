import { availableParallelism } from "node:os";
import { basename, join, resolve } from "node:path";
import { w2sg } from "@outgrow/systems";
import {
  type ClassificationData,
  encodeSafetensors,
  exportClassifier,
  isMatrixFile,
  namedTensors,
  parseConfig,
  readClassification,
  report,
  runName,
  UserError,
} from "outgrow";
import { z } from "zod";
import { labelsFile } from "./audit-source.js";
import { findModel } from "./find-model.js";
import { workOnLadder } from "./fit-ladder.js";
import { newFolder } from "./new-folder.js";
import { type Job, perform, type RunOptions } from "./perform.js";
import { hashed, readModel } from "./read-model.js";

export interface FitOptions extends RunOptions {
  text?: string[];
  features?: string[];
  weak?: string | string[];
  truth?: string;
  id?: string;
  classes?: string[];
  header?: boolean;
  format?: "csv" | "jsonl";
  method?: string[];
  seeds?: number;
  seed?: number;
  test?: number;
  supervision?: number;
  eachSupervisor?: boolean;
  pretrainEpochs?: number;
  ladder?: number[];
  model?: string;
}

/** `outgrow fit FILE`: the three models on a user's own data. */
export async function fit(file: string, options: FitOptions, signal: AbortSignal): Promise<void> {
  const { text, features, weak, truth, id, classes, header, format } = options;
  if (!text === !features) {
    throw new UserError("name the inputs by either --text COLUMN or --features COLUMN...", {
      hint: `For example: outgrow fit ${file} --text review --truth label`,
    });
  }
  if (!weak && !truth) {
    throw new UserError("name a column of labels: --weak COLUMN, --truth COLUMN, or both", {
      hint: "With --weak its labels train the student; with --truth alone a weak supervisor learns from a small share of them.",
    });
  }
  const { seeds, seed, test, supervision, eachSupervisor, pretrainEpochs, ladder } = options;
  if (options.model !== undefined) refuseBesideModel(options);
  const method = options.method ?? (Array.isArray(weak) ? ["raven", "ensemble"] : undefined);
  const given = defined({
    methods: method,
    eachSupervisor,
    seeds,
    seed,
    test,
    supervision,
    pretraining: pretrainEpochs ? { epochs: pretrainEpochs } : undefined,
  });
  const config = ladder
    ? parseConfig(w2sg.ownLadderSchema, { ...given, ladder }, "fit")
    : parseConfig(w2sg.ownDataSchema, given, "fit");
  // A run may be repeated from another folder.
  const at = (name: string) => (isMatrixFile(name) ? resolve(name) : name);
  const inputs = { features: features?.map(at), weak: Array.isArray(weak) ? weak.map(at) : weak && at(weak) };
  const model = options.model && (await placeOfModel(options.model, signal));
  const reading = { text, ...inputs, truth, id, classes, header, format, model };
  await newFolder(options.out ?? join("runs", runName("fit"))); // before a large file is read
  await perform(await fitJob({ file, ...defined(reading), ...config }), { ...options, signal });
}

function refuseBesideModel({ features, ladder, pretrainEpochs }: FitOptions): void {
  const others = { "--features": features, "--ladder": ladder, "--pretrain-epochs": pretrainEpochs };
  const given = Object.entries(others).find(([, value]) => value !== undefined);
  if (!given) return;
  throw new UserError(`--model and ${given[0]} cannot go together`, {
    hint: "A model that is given reads --text, is of one size, and is not pretrained again.",
  });
}

const matricesAmong = (names: string | readonly string[] = []) => [names].flat().filter(isMatrixFile);

/** Where a repetition finds the model, from whatever folder. */
async function placeOfModel(source: string, signal: AbortSignal): Promise<string> {
  const folder = await folderOfModel(source, signal);
  return source.startsWith("hf:") ? source : resolve(folder);
}

async function folderOfModel(source: string, signal?: AbortSignal): Promise<string> {
  const found = await findModel(source, signal);
  if ("model" in found) return found.model;
  throw new UserError("the run holds a classifier, but --model names a language model", {
    place: { file: found.student },
    hint: "Expected a folder in Hugging Face's layout, hf:owner/name, or a run of outgrow pretrain or finetune.",
  });
}

const fitSchema = w2sg.ownDataSchema.extend({
  ladder: w2sg.ownLadderWidths.optional(),
  file: z.string(),
  text: z.array(z.string()).optional(),
  features: z.array(z.string()).optional(),
  weak: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  truth: z.string().optional(),
  id: z.string().optional(),
  classes: z.array(z.string()).optional(),
  header: z.boolean().optional(),
  format: z.enum(["csv", "jsonl"]).optional(),
  model: z.string().optional(),
});

/** A fit on a user's own file as a run. `path` is where the file is, by default where the configuration says. */
export async function fitJob(given: z.input<typeof fitSchema>, path?: string): Promise<Job> {
  const configuration = parseConfig(fitSchema, given, "fit");
  const {
    file,
    text,
    features,
    weak,
    truth,
    id,
    classes,
    header,
    format,
    ladder,
    model: source,
    ...config
  } = configuration;
  const table = path ?? file;
  const reading = { text, features, weak, truth, id, classes, header, format };
  const data = { ...(await readClassification(table, reading)), file };
  const read = source === undefined ? undefined : await readModel(await folderOfModel(source));
  const model = read && { ...read.model, name: source as string };
  return {
    kind: "fit",
    configuration: { ...configuration, classes: data.classes },
    inputs: {
      ...(await hashed([table], "data")),
      ...(await hashed(matricesAmong(features), "features")),
      ...(await hashed(matricesAmong(weak), "weak labels")),
      ...read?.inputs,
    },
    async work(lab, signal) {
      if (ladder) return workOnLadder(data, { ...config, ladder }, lab, signal);
      const started = performance.now();
      const progress = report.createProgress(process.stderr, { plan: w2sg.ownDataPlan(data, config, model) });
      let result: w2sg.OwnDataResult;
      try {
        result = await w2sg.fitOwnData(data, config, { progress, lab, model, signal });
      } finally {
        progress.finish();
      }
      const summary = await w2sg.summariseOwnData(data, result, config, (performance.now() - started) / 1000);
      return {
        records: result.records,
        outcome: {
          report: summary,
          files: await resultFiles(data, result),
          results: w2sg.ownHeadlines(result.records),
        },
        print: (folder) => print(folder, file, result, summary),
      };
    },
  };
}

async function resultFiles(
  data: ClassificationData,
  result: w2sg.OwnDataResult,
): Promise<Record<string, string | Uint8Array>> {
  const { backbone, params } = result.student;
  return {
    "predictions.csv": w2sg.predictionsCsv(data, result),
    [labelsFile]: w2sg.labelsJsonl(data, result),
    "records.jsonl": `${result.records.map((record) => JSON.stringify(record)).join("\n")}\n`,
    "student/student.safetensors": encodeSafetensors(Object.fromEntries(namedTensors(params)), {
      backbone: backbone.name,
      classes: JSON.stringify(data.classes),
    }),
    "student/student.onnx": await exportClassifier(backbone, params, result.inputs),
    "student/config.json": `${JSON.stringify(
      {
        backbone: backbone.name,
        classes: data.classes,
        transformer: result.text?.config,
        pooling: result.text?.pooling,
        length: result.text?.length,
        scaling: result.scaling,
      },
      (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value),
      2,
    )}\n`,
    ...(result.text
      ? { "student/tokenizer.json": `${JSON.stringify(result.text.tokenizer.toJSON())}\n` }
      : {}),
  };
}

function print(folder: string, file: string, { warnings }: w2sg.OwnDataResult, summary: report.Report): void {
  for (const table of summary.tables) {
    console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}`);
  }
  console.log(`\n${summary.lead}\n`);
  for (const warning of warnings) console.log(`Note: ${warning}`);
  const peak = process.resourceUsage().maxRSS / 1024;
  console.log(`Peak memory  ${peak.toFixed(0)} MiB, ${availableParallelism()} cores, file ${basename(file)}`);
  console.log(`Report       ${join(folder, "report.html")}`);
  console.log(`Predictions  ${join(folder, "predictions.csv")}`);
  console.log(`Student      ${join(folder, "student")} (safetensors, ONNX)`);
}

/** The entries that were given. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
