import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/*
 * A version number that somebody has to remember to raise is forgotten one day, and then the wrong result is used again
 * in silence. So the code itself is hashed: the module that defines a stage and every module that it imports, as far as
 * our own packages reach. Of a library whose package.json says `"sideEffects": false` only the modules count that what is
 * imported by name comes from, and what they import. A package from the registry counts by its name and version: its code does not change without.
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

interface Import {
  file: string;
  /** What is imported, where that is named; else all of it. */
  names?: string[];
}

interface Module {
  /** E.g. `outgrow/dist/random.js 4f…`, or `zod@4.6.7`. */
  identity: string;
  imports: Import[];
  /** Whether it does nothing but pass on what other modules export, and its package says that importing has no side effects. */
  isIndex: boolean;
  text: string;
}

const modules = new Map<string, Module>();

function moduleAt(file: string): Module {
  let module = modules.get(file);
  if (module === undefined) {
    module = readModule(file);
    modules.set(file, module);
  }
  return module;
}

/** Identities of a module and of all that it imports. */
function closure(entry: string): Set<string> {
  const seen = new Set<string>();
  const identities = new Set<string>();
  const queue: Import[] = [{ file: entry }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const module = moduleAt(next.file);
    // Of a library's index only the modules count from which something is taken: a change in how a report looks trains nothing anew.
    const taken = module.isIndex ? next.names?.map((name) => exportsOf(next.file).get(name)) : undefined;
    if (taken?.every((file) => file !== undefined)) {
      queue.push(...taken.map((file) => ({ file })));
    } else if (!seen.has(next.file)) {
      seen.add(next.file);
      identities.add(module.identity);
      queue.push(...module.imports);
    }
  }
  return identities;
}

// Over-cautious by design: what looks like an import in a comment or a text counts as well where there is such a file.
const importingNames = /\bimport\s*\{([^}]*)\}\s*from\s*["']([^"'\n]+)["']/g;
const importing = /\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g;
const addressing = /\bnew URL\(\s*["'](\.[^"'\n]+)["']\s*,\s*import\.meta\.url/g;

const passingOn = /\bexport\s*(?:\*(?:\s*as\s+(\w+))?|\{([^}]*)\})\s*from\s*["']([^"'\n]+)["'];?/g;
const exportingNames = /\bexport\s*\{([^}]*)\}(?!\s*from)/g;
const exporting =
  /\bexport\s+(?:async\s+|abstract\s+)*(?:function\s*\*?|class|const|let|var|enum|interface|type)\s+(\w+)/g;
const comments = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

function readModule(file: string): Module {
  const root = packageRoot(file);
  const { name, version, sideEffects } = packageOf(root);
  if (file.includes(`${sep}node_modules${sep}`)) {
    return { identity: `${name}@${version}`, imports: [], isIndex: false, text: "" };
  }
  const text = readFileSync(file, "utf8");
  const path = relative(root, file).split(sep).join("/");
  const identity = `${name}/${path} ${createHash("sha256").update(text).digest("hex")}`;
  const named = [...text.matchAll(importingNames)].map(([, names, specifier]) => ({
    specifier,
    names: namesIn(names).map(([imported]) => imported),
  }));
  const rest = text.replace(importingNames, "");
  const whole = [...rest.matchAll(importing), ...rest.matchAll(addressing)];
  const imports = [...named, ...whole.map(([, specifier]) => ({ specifier, names: undefined }))].flatMap(
    ({ specifier, names }) => {
      const found = resolveImport(specifier, file);
      return found === undefined ? [] : [{ file: found, names }];
    },
  );
  const isIndex = sideEffects === false && text.replace(passingOn, "").replace(comments, "").trim() === "";
  return { identity, imports, isIndex, text };
}

/** The pairs of a list such as `a, type b, c as d`: the name on the left and the name on the right. */
function namesIn(list: string): [string, string][] {
  return list
    .split(",")
    .map((item) => item.trim().replace(/^type\s+/, ""))
    .filter((item) => item !== "")
    .map((item) => {
      const [left, right = left] = item.split(/\s+as\s+/);
      return [left, right];
    });
}

/** The modules in which the exported names of a module are defined, as far as they are found. */
function exportsOf(file: string, above: readonly string[] = []): Map<string, string> {
  const { text } = moduleAt(file);
  const found = new Map<string, string>();
  if (above.includes(file)) return found;
  for (const [, namespace, names, specifier] of text.matchAll(passingOn)) {
    const source = resolveImport(specifier, file);
    if (source === undefined) continue;
    if (namespace !== undefined) found.set(namespace, source);
    else {
      const inner = exportsOf(source, [...above, file]);
      const pairs = names === undefined ? [...inner.keys()].map((name) => [name, name]) : namesIn(names);
      for (const [left, right] of pairs) found.set(right, inner.get(left) ?? source);
    }
  }
  for (const [, name] of text.matchAll(exporting)) found.set(name, file);
  for (const [, names] of text.matchAll(exportingNames)) {
    for (const [, name] of namesIn(names)) found.set(name, file);
  }
  return found;
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

interface PackageFacts {
  name?: string;
  version?: string;
  sideEffects?: unknown;
}

const packages = new Map<string, PackageFacts>();

function packageOf(root: string): PackageFacts {
  let found = packages.get(root);
  if (found === undefined) {
    const file = join(root, "package.json");
    found = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as PackageFacts) : {};
    packages.set(root, found);
  }
  return found;
}
