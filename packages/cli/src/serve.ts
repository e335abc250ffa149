import { once } from "node:events";
import { basename, resolve } from "node:path";
import { type ServeLimits, serveModels, type TextService, threadedModel, UserError } from "outgrow";
import { findModel } from "./find-model.js";

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
  const sources = await Promise.all(models.map((named) => modelSource(named, signal)));
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

/** Where the model is that was named, and the name by which clients ask for it. */
async function modelSource(named: string, signal: AbortSignal): Promise<{ name: string; folder: string }> {
  const found = await findModel(named, signal);
  if ("model" in found) {
    const name = named.startsWith("hf:") ? named.slice(3) : basename(resolve(named));
    return { name, folder: found.model };
  }
  throw new UserError("the run holds a classifier, which cannot be served as a language model", {
    place: { file: found.student },
    hint: "Give a run of `outgrow pretrain` or `outgrow finetune`, or a folder in Hugging Face's layout.",
  });
}
