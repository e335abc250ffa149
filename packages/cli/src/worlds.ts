import { UserError } from "outgrow/errors";
import { worldNamed, worlds } from "outgrow/worlds";

/** `outgrow worlds` */
export function listWorlds({ json }: { json?: boolean }): void {
  if (json) {
    console.log(JSON.stringify(worlds.map(({ name, summary, knobs }) => ({ name, summary, knobs }))));
    return;
  }
  const width = Math.max(...worlds.map(({ name }) => name.length));
  for (const { name, summary } of worlds) console.log(`${name.padEnd(width)}  ${summary}`);
}

export interface ShowOptions {
  set: readonly { path: string; value: string }[];
  seed?: number;
  json?: boolean;
}

/** `outgrow worlds show NAME` */
export function showWorld(name: string, { set, seed = 0, json }: ShowOptions): void {
  const { config, sample } = worldNamed(name).show(settings(set), seed);
  if (json) {
    console.log(JSON.stringify({ name, seed, config, sample }));
    return;
  }
  console.log(`${sample}\n\nKnobs (--set path=value):`);
  for (const [knob, value] of Object.entries(config)) console.log(`  ${knob} = ${JSON.stringify(value)}`);
}

/** An object with a value at each path; values are JSON, or else text. */
function settings(set: ShowOptions["set"]): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const { path, value } of set) {
    const names = path.split(".");
    if (names.some((name) => name === "" || name === "__proto__")) {
      throw new UserError(`--set ${path}: expected names with dots between them, e.g. splits.test=0.2`);
    }
    let at = config;
    for (const name of names.slice(0, -1)) {
      if (!Object.hasOwn(at, name)) at[name] = {};
      const inner = at[name];
      if (typeof inner !== "object" || inner === null || Array.isArray(inner)) {
        throw new UserError(`--set ${path}: ${name} is set to a value already`);
      }
      at = inner as Record<string, unknown>;
    }
    at[names[names.length - 1]] = parsed(value);
  }
  return config;
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
