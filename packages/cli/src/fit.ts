import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { w2sg } from "@outgrow/systems";
import {
  encodeSafetensors,
  exportClassifier,
  namedTensors,
  parseConfig,
  readClassification,
  report,
  runName,
  UserError,
  writeRun,
} from "outgrow";
import { newFolder } from "./new-folder.js";

export interface FitOptions {
  text?: string[];
  features?: string[];
  weak?: string;
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
  pretrainEpochs?: number;
  out?: string;
  json?: boolean;
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
  const { method, seeds, seed, test, supervision, pretrainEpochs, json } = options;
  const given = defined({
    methods: method,
    seeds,
    seed,
    test,
    supervision,
    pretraining: pretrainEpochs ? { epochs: pretrainEpochs } : undefined,
  });
  const config = parseConfig(w2sg.ownDataSchema, given, "fit");
  const folder = await newFolder(options.out ?? join("runs", runName("fit")));
  const data = await readClassification(file, { text, features, weak, truth, id, classes, header, format });

  const started = performance.now();
  const progress = report.createProgress(process.stderr, { plan: w2sg.ownDataPlan(data, config) });
  let result: w2sg.OwnDataResult;
  try {
    result = await w2sg.fitOwnData(data, given, { progress, signal });
  } finally {
    progress.finish();
  }
  const summary = await w2sg.summariseOwnData(data, result, config, (performance.now() - started) / 1000);
  const { backbone, params } = result.student;
  const files: Record<string, string | Uint8Array> = {
    "predictions.csv": w2sg.predictionsCsv(data, result),
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
        scaling: result.scaling,
      },
      (_, value) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value),
      2,
    )}\n`,
    ...(result.text
      ? { "student/tokenizer.json": `${JSON.stringify(result.text.tokenizer.toJSON())}\n` }
      : {}),
  };
  const path = await writeRun(folder, { report: summary, files }, signal);

  if (json) {
    console.log(JSON.stringify({ folder: path, records: result.records }));
    return;
  }
  for (const table of summary.tables) {
    console.log(`\n${report.formatTable(table, { colour: report.wantsColour() })}`);
  }
  console.log(`\n${summary.lead}\n`);
  for (const warning of result.warnings) console.log(`Note: ${warning}`);
  const peak = process.resourceUsage().maxRSS / 1024;
  console.log(`Peak memory  ${peak.toFixed(0)} MiB, ${availableParallelism()} cores, file ${basename(file)}`);
  console.log(`Report       ${join(path, "report.html")}`);
  console.log(`Predictions  ${join(path, "predictions.csv")}`);
  console.log(`Student      ${join(path, "student")} (safetensors, ONNX)`);
}

/** The entries that were given. */
function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
