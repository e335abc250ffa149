import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/*
 * A version number that somebody has to remember to raise is forgotten one day, and then the wrong result is used again
 * in silence. So the code itself is hashed: the module that defines a stage and every module that it imports, as far as
 * our own packages reach. A package from the registry counts by its name and version: its code does not change without.
 *
 * What this cannot see: programs outside of the process, files that are read by a computed path, edits inside of
 * node_modules, and the kind of processor. For the first three there is the stage's `version`; the machine is written
 * beside every output, and `outgrow rerun` says when another one gives other bits.
 */

const versions = new Map<string, string>();

/**
 * Hash of a module's code and that of all it imports, whether by `import`, by `import()` or as a worker by
 * `new URL(..., import.meta.url)`. The same wherever the packages are installed. Read once in a process: what runs is what was loaded.
 */
export function codeVersion(moduleUrl: string): string {
  const known = versions.get(moduleUrl);
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  for (const line of [...closure(fileURLToPath(moduleUrl))].sort()) hash.update(`${line}\n`);
  const version = hash.digest("hex");
  versions.set(moduleUrl, version);
  return version;
}

interface Module {
  /** E.g. `outgrow/dist/random.js 4f…`, or `zod@4.6.7`. */
  identity: string;
  imports: string[];
}

const modules = new Map<string, Module>();

/** Identities of a module and of all that it imports. */
function closure(entry: string): Set<string> {
  const seen = new Set<string>();
  const identities = new Set<string>();
  const queue = [entry];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    let module = modules.get(file);
    if (module === undefined) {
      module = readModule(file);
      modules.set(file, module);
    }
    identities.add(module.identity);
    queue.push(...module.imports);
  }
  return identities;
}

// Over-cautious by design: what looks like an import in a comment or a text counts as well where there is such a file.
const importing = /\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g;
const addressing = /\bnew URL\(\s*["'](\.[^"'\n]+)["']\s*,\s*import\.meta\.url/g;

function readModule(file: string): Module {
  const root = packageRoot(file);
  const { name, version } = packageOf(root);
  if (file.includes(`${sep}node_modules${sep}`)) return { identity: `${name}@${version}`, imports: [] };
  const text = readFileSync(file, "utf8");
  const path = relative(root, file).split(sep).join("/");
  const identity = `${name}/${path} ${createHash("sha256").update(text).digest("hex")}`;
  const specifiers = [...text.matchAll(importing), ...text.matchAll(addressing)].map(([, named]) => named);
  const imports = specifiers
    .map((specifier) => resolveImport(specifier, file))
    .filter((found) => found !== undefined);
  return { identity, imports };
}

/** The file that an import leads to; undefined for modules of Node and for what only looks like an import. */
function resolveImport(specifier: string, from: string): string | undefined {
  if (specifier.startsWith("node:")) return undefined;
  if (specifier.startsWith(".")) {
    const file = join(dirname(from), specifier);
    // Tests run on the sources, where `./a.js` is `a.ts`.
    const candidates = [file, file.replace(/\.js$/, ".ts"), file.replace(/\.js$/, ".tsx")];
    return candidates.find((candidate) => /\.\w+$/.test(candidate) && existsSync(candidate));
  }
  try {
    return createRequire(pathToFileURL(from)).resolve(specifier);
  } catch {
    return undefined;
  }
}

const roots = new Map<string, string>();

/** The nearest folder above with a named package.json. */
function packageRoot(file: string): string {
  const folder = dirname(file);
  let root = roots.get(folder);
  if (root === undefined) {
    root = hasPackage(folder) || dirname(folder) === folder ? folder : packageRoot(folder);
    roots.set(folder, root);
  }
  return root;
}

const hasPackage = (folder: string) =>
  existsSync(join(folder, "package.json")) && packageOf(folder).name !== undefined;

const packages = new Map<string, { name?: string; version?: string }>();

function packageOf(root: string): { name?: string; version?: string } {
  let found = packages.get(root);
  if (found === undefined) {
    const file = join(root, "package.json");
    found = existsSync(file)
      ? (JSON.parse(readFileSync(file, "utf8")) as { name?: string; version?: string })
      : {};
    packages.set(root, found);
  }
  return found;
}
