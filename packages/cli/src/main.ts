#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError } from "commander";

// Heavy modules load in the commands that use them: --help must be quick.

const program = new Command("outgrow")
  .description("Train models that outgrow their teachers: weak-to-strong learning, measured honestly.")
  .version("0.1.0")
  .exitOverride()
  .showHelpAfterError("(outgrow COMMAND --help shows the options)");

const wholeNumber =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`A whole number from ${least} on.`);
    return value;
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
    "worlds that run at the same time, a thread each (default: one for each core)",
    wholeNumber(1),
  )
  .option("--full", "the published size: 5 worlds with 5 tasks each")
  .option("--out <FOLDER>", "where the results go (default: runs/ and the time)")
  .option("--json", "print the records as JSON")
  .action(async (options) => (await import("./start.js")).start(options, interrupted.signal));

program
  .command("methods")
  .description("how a student can learn from weak labels")
  .option("--json", "print JSON")
  .action(async (options) => (await import("./lists.js")).listMethods(options));

const interrupted = new AbortController();
process.once("SIGINT", () => {
  interrupted.abort(new Error("interrupted"));
  // A second Ctrl-C ends the process at once; nothing half-written has its final name.
  process.once("SIGINT", () => process.exit(130));
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = await explain(error);
}

/** Prints an error for the reader of a terminal and gives the exit code: 2 for a mistake, 1 for a failure, 130 for Ctrl-C. */
async function explain(error: unknown): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (interrupted.signal.aborted) {
    console.error("\nStopped. Nothing was written.");
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
