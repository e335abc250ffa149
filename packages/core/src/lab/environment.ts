import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, totalmem } from "node:os";

/** What a result depends on besides its configuration: versions and the machine. */
export function environment(): Record<string, string> {
  const engine = createRequire(import.meta.url).resolve("@outgrow/engine");
  const cpu = cpus()[0]?.model.trim() ?? "unknown processor";
  return {
    outgrow: packageVersion(import.meta.url, "../../package.json"),
    node: process.version.slice(1),
    "jax-js": installedVersion("@jax-js/jax", import.meta.url),
    "onnxruntime-node": installedVersion("onnxruntime-node", engine),
    machine: `${cpu}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}`,
    date: new Date().toISOString(),
  };
}

function packageVersion(from: string, path: string): string {
  return (JSON.parse(readFileSync(new URL(path, from), "utf8")) as { version: string }).version;
}

/** The version of a dependency of the module `from`, read beside its entry point: not all export their package.json. */
function installedVersion(name: string, from: string): string {
  const entry = createRequire(from).resolve(name);
  const root = entry.slice(0, entry.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}/`.length);
  return (JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { version: string }).version;
}
