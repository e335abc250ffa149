import { namedLeaves, Tensor, type Tree } from "@outgrow/engine";
import { UserError } from "../errors.js";
import { writeFileAtomic } from "../files.js";
import { encodeSafetensors, openSafetensors, type SafetensorsFile } from "./safetensors.js";

/**
 * Writes a tree of tensors as a safetensors file, all or nothing. A tensor is named by its path in the tree, e.g.
 * `blocks.0.up.weight`.
 */
export async function saveCheckpoint(
  path: string,
  tree: object,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(Object.fromEntries(namedTensors(tree)), metadata));
}

/**
 * Reads what {@link saveCheckpoint} wrote into a tree of the same form as `like`.
 *
 * @throws UserError naming a tensor that is missing, not expected, or of another shape or type than in `like`
 */
export async function loadCheckpoint<T extends object>(
  path: string,
  like: T,
): Promise<{ tree: T; metadata: Record<string, string> }> {
  const file = await openSafetensors(path);
  try {
    return { tree: await readTree(file, like), metadata: file.metadata };
  } finally {
    await file.close();
  }
}

async function readTree<T extends object>(file: SafetensorsFile, like: T): Promise<T> {
  const refuse = (message: string) =>
    new UserError(message, {
      place: { file: file.path },
      hint: "The file holds another model. Check the path and the model's configuration.",
    });
  const expected = namedTensors(like);
  const extra = [...file.tensors.keys()].find((name) => !expected.has(name));
  if (extra !== undefined) throw refuse(`tensor ${quote(extra)} is not one of the model's`);
  const tensors: Record<string, Tensor> = {};
  for (const [name, tensor] of expected) {
    if (!file.tensors.has(name)) throw refuse(`tensor ${quote(name)} is missing`);
    tensors[name] = await file.read(name);
    const [given, wanted] = [describe(tensors[name]), describe(tensor)];
    if (given !== wanted) throw refuse(`tensor ${quote(name)} is ${given}, expected ${wanted}`);
  }
  return fill(like, tensors) as T;
}

export function namedTensors(tree: object): Map<string, Tensor> {
  const leaves = namedLeaves(tree as Tree<Tensor>, isTensor);
  const byName = new Map(leaves);
  if (byName.size < leaves.length)
    throw new TypeError("Two tensors have the same path: a key has a dot in it.");
  return byName;
}

/** The tree in which each tensor's path is its name, as {@link namedTensors} gives them. Numbers are places in arrays. */
export function treeOfTensors(tensors: Readonly<Record<string, Tensor>>): object {
  const root: Record<string, unknown> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const keys = name.split(".");
    let node = root;
    for (const key of keys.slice(0, -1)) {
      if (!Object.hasOwn(node, key)) node[key] = {};
      node = node[key] as Record<string, unknown>;
    }
    node[keys[keys.length - 1]] = tensor;
  }
  return withArrays(root) as object;
}

function withArrays(node: unknown): unknown {
  if (node instanceof Tensor) return node;
  const entries = Object.entries(node as object).map(([key, child]) => [key, withArrays(child)] as const);
  const isArray = entries.length > 0 && entries.every(([key], i) => key === String(i));
  return isArray ? entries.map(([, child]) => child) : Object.fromEntries(entries);
}

/** The tree `like` with the tensors of those names in it. */
function fill(like: object, tensors: Record<string, Tensor>, path: string[] = []): unknown {
  if (isTensor(like)) return tensors[path.join(".")];
  const filled = Object.entries(like).map(([key, child]) => [key, fill(child, tensors, [...path, key])]);
  return Array.isArray(like) ? filled.map(([, child]) => child) : Object.fromEntries(filled);
}

function isTensor(node: unknown): node is Tensor {
  if (typeof node === "object" && node !== null) return node instanceof Tensor;
  throw new TypeError(`A checkpoint is a tree of tensors, but ${node} is in it.`);
}

const describe = ({ dtype, shape }: Tensor) => `${dtype} [${shape.join(", ")}]`;

const quote = (value: unknown) => JSON.stringify(value).slice(0, 100);
