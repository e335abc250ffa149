import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type ServeLimits, serveModels, type TextService, threadedModel, UserError } from "outgrow";
import { findRun } from "./find-run.js";

export interface ServeCommandOptions {
  host: string;
  port: number;
  token?: string;
  rows?: number;
  maxTokens?: number;
  waiting?: number;
  timeout?: number;
  json?: boolean;
}

/** `outgrow serve MODEL...`: models behind an OpenAI-compatible API, until it is stopped. */
export async function serve(
  models: readonly string[],
  options: ServeCommandOptions,
  signal: AbortSignal,
): Promise<void> {
  const { host, port, rows, token = process.env.OUTGROW_TOKEN, maxTokens, waiting, timeout } = options;
  const sources = await Promise.all(models.map(modelSource));
  const twice = sources.find(({ name }, i) => sources.findIndex((other) => other.name === name) !== i);
  if (twice) throw new UserError(`two of the models are called ${JSON.stringify(twice.name)}`);
  const limits = Object.fromEntries(
    Object.entries({ newTokens: maxTokens, waiting, seconds: timeout }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Partial<ServeLimits>;
  const services: TextService[] = [];
  try {
    for (const source of sources) services.push(await threadedModel({ ...source, rows }, signal));
    const server = await serveModels({ models: services, host, port, token, limits });
    const names = services.map(({ info }) => info.name);
    // A token that was made is told this once.
    const made = token === undefined ? server.token : undefined;
    console.log(
      options.json
        ? JSON.stringify({ url: server.url, models: names, ...(made && { token: made }) })
        : `Serves ${names.join(", ")} at ${server.url}${made ? ` with the token ${made}` : ""}. Ctrl-C stops.`,
    );
    if (!signal.aborted) await once(signal, "abort");
    await server.close();
  } catch (error) {
    await Promise.all(services.map((service) => service.dispose()));
    throw error;
  }
}

/** Where the model is that was named: a folder in Hugging Face's layout, or a run with one among its results. */
async function modelSource(named: string): Promise<{ name: string; folder: string }> {
  const folder = resolve(named);
  if (existsSync(join(folder, "config.json"))) return { name: basename(folder), folder };
  const { record } = await findRun(named).catch((error) => {
    if (!(error instanceof UserError) || error.exitCode !== 2) throw error;
    throw new UserError(`there is no model "${named}"`, {
      hint: "Give a folder in Hugging Face's layout, or a run that `outgrow runs` lists.",
    });
  });
  const found = await languageModels(record.folder);
  if (found.length === 1) return { name: record.id, folder: found[0] };
  throw new UserError(
    found.length === 0
      ? `the run ${record.id} has no language model among its results`
      : `the run ${record.id} has ${found.length} language models`,
    {
      place: { file: record.folder },
      hint:
        found.length === 0
          ? "Its student may be a classifier, which cannot be served as a language model."
          : `Name the folder of one: ${found.join(", ")}.`,
    },
  );
}

async function languageModels(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const folders = [
    folder,
    ...entries.filter((one) => one.isDirectory()).map((one) => join(folder, one.name)),
  ];
  const files = ["config.json", "tokenizer.json"];
  return folders.filter((one) => files.every((file) => existsSync(join(one, file))));
}
