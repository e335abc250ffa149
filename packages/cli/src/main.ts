#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";

// Heavy modules load in the commands that use them: --help must be quick.

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("outgrow")
  .description("Train models that outgrow their teachers: weak-to-strong learning, measured honestly.")
  .version(version)
  .exitOverride()
  .showHelpAfterError("(outgrow COMMAND --help shows the options)");

const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`A whole number from ${least} on.`);
    return value;
  };

const number = (text: string): number => {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= 0 && value < Infinity)) throw new InvalidArgumentError("A number from 0 on.");
  return value;
};

const positive = (text: string): number => {
  const value = number(text);
  if (value === 0) throw new InvalidArgumentError("A number above 0.");
  return value;
};

const port = (text: string): number => {
  const value = wholeNumber(0)(text);
  if (value > 65_535) throw new InvalidArgumentError("A number from 0 to 65535.");
  return value;
};

const names = (text: string) => {
  const listed = text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (listed.length === 0) throw new InvalidArgumentError("Names, separated by commas.");
  return listed;
};

const since = (text: string): Date => {
  const [, number, unit] = /^(\d+)([dhm])$/.exec(text) ?? [];
  const minutes = { d: 1440, h: 60, m: 1 }[unit];
  const date =
    minutes === undefined ? new Date(text) : new Date(Date.now() - Number(number) * minutes * 60_000);
  if (Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError("A date such as 2026-03-01, or a time ago such as 3d, 12h or 30m.");
  }
  return date;
};

const condition = (text: string, others: { path: string; value: string }[]) => {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("A field and its value, e.g. configuration.seed=3.");
  return [...others, { path: text.slice(0, at), value: text.slice(at + 1) }];
};

/** An option that may be given again: the value, or all of them. */
const oneOrMore = (value: string, others?: string | string[]): string | string[] =>
  others === undefined ? value : [others, value].flat();

/** An option that may be given again: all of its values. */
const several = (value: string, others: string[] = []): string[] => [...others, value];

/** The values of an option that takes several numbers. */
const numbers = (text: string, others: number[] = []): number[] => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Numbers, e.g. 0.2 0.3.");
  return [...others, value];
};

const byteCount = (text: string): number => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kMGT]?)B?$/i.exec(text) ?? [];
  if (number === undefined) throw new InvalidArgumentError("A number of bytes, e.g. 500MB or 2GB.");
  return Number(number) * 1000 ** ["", "k", "m", "g", "t"].indexOf(unit.toLowerCase());
};

program
  .command("start")
  .description(
    "the main job: a ladder of models on a generated world, every method, a report (under two minutes)",
  )
  .option("--worlds <N>", "generated worlds", wholeNumber(1))
  .option("--tasks <N>", "tasks in each world", wholeNumber(1))
  .option("--seed <N>", "seed of everything", wholeNumber(0))
  .option(
    "--parallel <N>",
    "threads that share out worlds and tasks (default: one for each core)",
    wholeNumber(1),
  )
  .option("--full", "the published size: 5 worlds with 5 tasks each")
  .option("--out <FOLDER>", "where the results go (default: runs/ and the time)")
  .option("--tensorboard", "also write the training curves as TensorBoard event files")
  .option("--checkpoint <seconds>", "time between checkpoints of a training (default: 20)", wholeNumber(0))
  .option("--json", "print the records as JSON")
  .action(async (options) => (await import("./start.js")).start(options, interrupted.signal));

program
  .command("fit")
  .description("weak-to-strong learning on your own CSV or JSONL file")
  .argument("<file>", "CSV (with or without a header) or JSONL")
  .option("--text <columns...>", "text columns; a column is named by its header or by its number from 1")
  .option("--features <columns...>", "numeric columns, or a .npy file with a row for each of the table's")
  .option(
    "--weak <column>",
    "weak labels: class names, or JSON with a probability for each class; or a .npy file of probabilities or logits; again for each of several supervisors",
    oneOrMore,
  )
  .option("--truth <column>", "true labels; alone, a small share of them trains a weak supervisor")
  .option("--id <column>", "row ids (default: line numbers)")
  .option("--classes <names...>", "the classes, in order (default: those found in the labels)")
  .option("--header", "the first record of the CSV is a header (default: decided by the columns named)")
  .option("--no-header", "it is not")
  .addOption(
    new Option("--format <format>", "file format (default: by the file's ending)").choices(["csv", "jsonl"]),
  )
  .option(
    "--method <names>",
    "methods, separated by commas (outgrow methods lists them; default: naive,confidence; with several supervisors raven,ensemble)",
    names,
  )
  .option("--seeds <N>", "repetitions with other splits and orders (default: 3)", wholeNumber(1))
  .option("--seed <N>", "seed of everything (default: 0)", wholeNumber(0))
  .option("--test <N>", "rows for testing (default: a fifth, at most 2000)", wholeNumber(2))
  .option("--supervision <N>", "rows whose truth trains the weak supervisor (default: 4 %)", wholeNumber(2))
  .option("--each-supervisor", "of several: a naive student of each besides, and whose should be the best")
  .option(
    "--ladder <widths>",
    "widths of models, separated by commas, e.g. 32,64,128: each supervises those from its size on up",
    (text: string) => names(text).map(wholeNumber(1)),
  )
  .option(
    "--model <model>",
    "a language model as the student, all of it finetuned: a folder in Hugging Face's layout, hf:owner/name, or a run",
  )
  .option("--pretrain-epochs <N>", "passes of the student over the unlabelled inputs", wholeNumber(1))
  .option("--out <folder>", "where the results go (default: runs/ and the time)")
  .option("--tensorboard", "also write the training curves as TensorBoard event files")
  .option("--checkpoint <seconds>", "time between checkpoints of a training (default: 20)", wholeNumber(0))
  .option("--json", "print the records as JSON")
  .action(async (file, options) => (await import("./fit.js")).fit(file, options, interrupted.signal));

const languageModelOptions = (command: Command) =>
  command
    .option("--batch-size <N>", "rows of the context's length in a step (default: 16)", wholeNumber(1))
    .option("--micro-batches <N>", "parts of a step, to save memory (default: 1)", wholeNumber(1))
    .option("--learning-rate <rate>", "the highest", positive)
    .option("--weight-decay <rate>", "of AdamW", number)
    .addOption(
      new Option("--decay <form>", "of the learning rate (default: cosine)").choices([
        "cosine",
        "linear",
        "constant",
        "wsd",
      ]),
    )
    .option("--warmup <share>", "of the steps (default: 0.05)", number)
    .option("--held-out <share>", "of the texts, to keep the best weights by (default: 0.05)", number)
    .option("--seed <N>", "seed of everything (default: 0)", wholeNumber(0))
    .option("--out <folder>", "where the results go (default: runs/ and the time)")
    .option("--tensorboard", "also write the training curves as TensorBoard event files")
    .option("--checkpoint <seconds>", "time between checkpoints of a training (default: 20)", wholeNumber(0))
    .option("--json", "print the curve as JSON");

languageModelOptions(
  program
    .command("pretrain")
    .description("a language model of your own texts, in Hugging Face's layout")
    .argument("<texts...>", "text files, or folders with .txt and .md files")
    .addOption(
      new Option("--separator <what>", "what ends a document (default: file)").choices([
        "file",
        "line",
        "blank-line",
      ]),
    )
    .option("--model <folder>", "go on from this model instead of a new one")
    .option("--tokens <N>", "tokens to read (default: each once)", wholeNumber(1))
    .option("--vocabulary-size <N>", "most tokens in the vocabulary (default: 2048)", wholeNumber(300))
    .option("--context-length <N>", "tokens (default: 128)", wholeNumber(8))
    .option("--width <N>", "of the residual stream (default: 128)", wholeNumber(1))
    .option("--layers <N>", "blocks (default: 4)", wholeNumber(1))
    .option("--heads <N>", "heads of attention (default: 4)", wholeNumber(1))
    .option("--key-value-heads <N>", "heads of keys and values (default: as many)", wholeNumber(1)),
).action(async (texts, options) =>
  (await import("./language-model.js")).pretrain(texts, options, interrupted.signal),
);

languageModelOptions(
  program
    .command("finetune")
    .description("a language model learns to answer: the loss counts on the answers alone")
    .argument("<model>", "folder in Hugging Face's layout")
    .argument("<examples>", "JSONL or CSV with a prompt and an answer, or JSONL with messages, in each row")
    .option("--prompt <column>", "default: prompt")
    .option("--answer <column>", "default: answer")
    .option("--epochs <N>", "passes over the examples (default: 3)", positive)
    .option("--rank <N>", "train adapters of this rank instead of all weights", wholeNumber(1))
    .option("--alpha <A>", "scale of the adapters (default: twice the rank)", positive),
).action(async (model, examples, options) =>
  (await import("./language-model.js")).finetune(model, examples, options, interrupted.signal),
);

program
  .command("systems")
  .description("published systems that can be reproduced, with their papers")
  .option("--json", "print JSON, with all claims")
  .action(async (options) => (await import("./systems.js")).listSystems(options));

program
  .command("reproduce")
  .description("the experiment of a published system: its claims with intervals and verdicts")
  .argument("[system]", "name of a system (outgrow systems lists them)")
  .option("--all", "all systems: the atlas, a page for each and one table")
  .option("--seeds <N>", "repetitions (default: the study's)", wholeNumber(1))
  .option("--first-seed <N>", "number of the first (default: 0)", wholeNumber(0))
  .option("--only <ids>", "only these claims, e.g. C1,C3", names)
  .option(
    "--set <path=value>",
    "a field of the study, e.g. world.noise=0.1; may be given again",
    condition,
    [],
  )
  .option("--quick", "a small size that ends in seconds, to see how it works")
  .option(
    "--workers <N>",
    "processes at the same time (default: one for each core; 0: in this process)",
    wholeNumber(0),
  )
  .option("--out <folder>", "where the results go (default: runs/ and the time)")
  .option("--json", "print the claims as JSON")
  .action(async (system, options) =>
    (await import("./reproduce.js")).reproduce(system, options, interrupted.signal),
  );

program
  .command("sweep")
  .description("a grid of runs from a file: on this machine, or on many through a queue")
  .argument("<file>", "YAML with the fields system, config, grid, list and resources")
  .option(
    "--dry-run",
    "check the file and print the stages, those that are there already, and the time it would take",
  )
  .option(
    "--workers <N>",
    "processes at the same time (default: what cores and memory allow; 0: in this process)",
    wholeNumber(0),
  )
  .option("--queue <url>", "redis:// or rediss:// address: runs go to the workers of that queue")
  .option(
    "--store <place>",
    "where machines share results: a folder that all see, or s3://BUCKET/PREFIX (default: a shared OUTGROW_HOME)",
  )
  .option("--out <folder>", "where the results go (default: runs/ and the time)")
  .option("--json", "print the runs as JSON")
  .action(async (file, options) => (await import("./sweep.js")).sweep(file, options, interrupted.signal));

program
  .command("worker")
  .description("one more machine for sweeps: takes runs from a queue until it is stopped")
  .requiredOption("--queue <url>", "redis:// or rediss:// address")
  .option("--store <place>", "where machines share results, as the sweep has it")
  .option("--memory <size>", 'for all runs together, e.g. "16 GiB" (default: four fifths of the machine\'s)')
  .option("--threads <N>", "for all runs together (default: one for each core)", wholeNumber(1))
  .option("--devices <names>", "cpu, webgpu, cuda, separated by commas (default: cpu)", names)
  .action(async (options) => (await import("./worker.js")).worker(options, interrupted.signal));

program
  .command("serve")
  .description("language models behind an OpenAI-compatible API, until it is stopped")
  .argument("<model...>", "folder in Hugging Face's layout, hf:owner/name, or a run with a language model")
  .option("--host <address>", "where to listen; other than this machine only with a token", "127.0.0.1")
  .option("--port <N>", "0 for any that is free", port, 8080)
  .option(
    "--token <token>",
    "what clients must send as their key (default: $OUTGROW_TOKEN, else made if needed)",
  )
  .option(
    "--rows <N>",
    "answers at the same time, for each model (default: what memory allows)",
    wholeNumber(1),
  )
  .option("--max-tokens <N>", "most tokens of an answer", wholeNumber(1))
  .option("--waiting <N>", "answers that may wait; more are turned away", wholeNumber(0))
  .option("--timeout <seconds>", "most time for an answer", wholeNumber(1))
  .option("--json", "print the address as JSON")
  .action(async (models, options) => (await import("./serve.js")).serve(models, options, interrupted.signal));

program
  .command("audit")
  .description(
    "can a student be trusted? agreement, predicted gain, calibration, weak slices, label errors, and a verdict",
  )
  .argument("<run>", "id or folder of a run of fit; or a CSV or JSONL file, with --weak and --student")
  .option(
    "--weak <column>",
    "of a file: weak labels, class names or probabilities as JSON; again for each of several supervisors to choose among",
    oneOrMore,
  )
  .option("--student <column>", "of a file: the student's, alike; one for each --weak", oneOrMore)
  .option("--truth <column>", "of a file: true labels; some or all may be missing")
  .option("--id <column>", "of a file: names of the rows (default: line numbers)")
  .option("--classes <names...>", "of a file: the classes, in order")
  .option("--slice <columns...>", "columns by whose values to look for where the student is worse")
  .option(
    "--proxy <column>",
    "a guess of a group that nobody recorded: disparity between groups without it; three or more (again for each), or --proxy-errors",
    several,
  )
  .option(
    "--proxy-errors <rates...>",
    "how often the proxies take a member of each group for another's, in the order of the groups' names, e.g. 0.2 0.3",
    numbers,
  )
  .option(
    "--neighbour <column>",
    "the id of a row that is a neighbour, e.g. a paraphrase, or a JSON list of them: what expansion foretells of the student",
  )
  .option(
    "--features <columns...>",
    "of a file: numbers in which the nearest rows are neighbours; of a run, those that it was given",
  )
  .option(
    "--boundary",
    "of a run: how near adversarial examples of its student are, and how its boundary is tilted",
  )
  .option("--group <column>", "the group where it was recorded, to hold the estimates of disparity against")
  .option("--out <folder>", "where the results go (default: runs/ and the time)")
  .option("--json", "print the audit as JSON")
  .action(async (run, options) =>
    (await import("./audit.js")).auditCommand(run, options, interrupted.signal),
  );

program
  .command("methods")
  .description("how a student can learn from weak labels")
  .option("--json", "print JSON")
  .action(async (options) => (await import("./lists.js")).listMethods(options));

const worlds = program
  .command("worlds")
  .description("generated tasks whose truth is known")
  .option("--json", "print JSON, with the knobs of each")
  .action(async (options) => (await import("./worlds.js")).listWorlds(options));
worlds
  .command("show")
  .description("make a world and look at a sample of it")
  .argument("<name>", "a world that outgrow worlds lists")
  .option(
    "--set <path=value>",
    "a knob, e.g. splits.test=0.2; JSON or text; may be given again",
    condition,
    [],
  )
  .option("--seed <N>", "seed of the world (default: 0)", wholeNumber(0))
  .option("--json", "print JSON")
  .action(async (name, options, command) =>
    (await import("./worlds.js")).showWorld(name, { ...options, ...command.optsWithGlobals() }),
  );

program
  .command("runs")
  .description("runs with their results, the latest first")
  .option("--kind <kind>", "only runs of this kind, e.g. fit")
  .addOption(
    new Option("--status <status>", "only runs in this state").choices([
      "running",
      "done",
      "failed",
      "stopped",
      "interrupted",
    ]),
  )
  .option("--since <time>", "only runs that began since then: a date, or 3d, 12h, 30m ago", since)
  .option("--where <path=value>", "only runs with this value, e.g. seed=3; may be given again", condition, [])
  .option("--sort <path>", "by a field, e.g. seconds or configuration.seed (default: latest first)")
  .option("--reverse", "the other way round")
  .option("--limit <N>", "at most so many", wholeNumber(1))
  .option("--json", "print JSON")
  .action(async (options) => (await import("./runs.js")).runs(options));

program
  .command("diff")
  .description("what differs between two runs: configuration, environment, results, stages")
  .argument("<first>", "id of a run, or the folder of its results")
  .argument("<second>")
  .option("--json", "print JSON")
  .action(async (first, second, options) => (await import("./diff.js")).diff(first, second, options));

program
  .command("rerun")
  .description("do all the work of a run again, without the cache, and compare the bits")
  .argument("<id>", "id of a run, or the folder of its results")
  .option("--out <folder>", "where the results go (default: runs/ and the time)")
  .option("--json", "print JSON")
  .action(async (id, options) => (await import("./rerun.js")).rerun(id, options, interrupted.signal));

program
  .command("export")
  .description("a trained model as a file that other programs read")
  .argument(
    "<source>",
    "folder of a model in Hugging Face's layout, hf:owner/name, or a run by its id or folder",
  )
  .addOption(
    new Option(
      "--to <format>",
      "gguf (llama.cpp, Ollama), safetensors (transformers, vLLM) or onnx (ONNX Runtime)",
    )
      .choices(["gguf", "safetensors", "onnx"])
      .makeOptionMandatory(),
  )
  .addOption(
    new Option("--dtype <type>", "how weights are stored (default: float32; q8_0 only in gguf)").choices([
      "float32",
      "float16",
      "bfloat16",
      "q8_0",
    ]),
  )
  .option("--length <N>", "of onnx: tokens of the text (default: the model's context)", wholeNumber(1))
  .option("--out <path>", "where it goes (default: the source's name, here)")
  .option("--json", "print JSON")
  .action(async (source, options) => (await import("./export.js")).exportModel(source, options));

const cache = program.command("cache").description("the outputs of stages that are kept in OUTGROW_HOME");
cache
  .command("ls")
  .description("outputs with size, age and the runs that they are part of")
  .option("--json", "print JSON")
  .action(async (options) => (await import("./cache.js")).listOutputs(options));
cache
  .command("gc")
  .description("remove outputs that any of the options names; they are computed again when wanted")
  .option("--older <days>", "that were not used for so many days", wholeNumber(0))
  .option("--size <bytes>", "the least recently used, until the rest fits, e.g. 500MB", byteCount)
  .option("--unreferenced", "that are part of no run")
  .option("--dry-run", "only say what would go")
  .option("--json", "print JSON")
  .action(async (options) => (await import("./cache.js")).collect(options));
cache
  .command("verify")
  .description("read every byte that is kept; exit code 1 where any is not as it was written")
  .option("--json", "print JSON")
  .action(async (options) => (await import("./cache.js")).verify(options));

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // A second one ends the process at once; nothing half-written has its final name.
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort(new Error("interrupted"));
  });
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = await explain(error);
}

/** Prints an error for the reader of a terminal and gives the exit code: 2 for a mistake, 1 for a failure, 130 when it was stopped. */
async function explain(error: unknown): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (interrupted.signal.aborted) {
    console.error("\nStopped. What was finished is kept: the same command goes on from there.");
    return 130;
  }
  const { UserError } = await import("outgrow/errors");
  if (error instanceof UserError) {
    console.error(`outgrow: ${error.toString()}`);
    return error.exitCode;
  }
  console.error(error instanceof Error ? error.stack : error);
  console.error("\noutgrow: this should not have happened; please report it with the lines above.");
  return 1;
}
