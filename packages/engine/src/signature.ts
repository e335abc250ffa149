import { ProgramError } from "./errors.js";
import { flattenTree, leavesInOrderOf, namedLeaves, Tensor } from "./tensor.js";
import { describe } from "./trace.js";

/** Element type and shape of a leaf. A name stands for a length that each run decides. */
export interface LeafType {
  readonly dtype: string;
  readonly shape: readonly (number | string)[];
}

/** The paths of the leaves of a tree of tensors, e.g. "0.layers.1.w". */
export const leafPaths = (tree: unknown): string[] =>
  namedLeaves(tree as never, (node): node is never => node instanceof Tensor).map(([path]) => path);

const inWords = ({ dtype, shape }: LeafType) => `${dtype}[${shape}]`;

/** What a program takes, and the checks of what it is given. */
export class Signature {
  readonly inputPaths: readonly string[];
  /** The trees of the arguments, with the path of each leaf in its place. */
  private readonly argumentTrees: readonly unknown[];

  constructor(
    readonly name: string,
    exampleArgs: readonly unknown[],
    private readonly inputTypes: readonly LeafType[],
    /** What a message says of arguments of another shape. */
    private readonly advice = "",
  ) {
    this.inputPaths = leafPaths(exampleArgs);
    this.argumentTrees = flattenTree(exampleArgs)[1]([...this.inputPaths]) as unknown[];
  }

  /** The leaves of the arguments with indices from `first` to before `end`, in the order of the inputs; checked. */
  leaves(args: readonly unknown[], first = 0, end = this.argumentTrees.length): Tensor[] {
    const [leaves, offset] = this.inOrder(args, first, end);
    const lengths = new Map<string, number>();
    leaves.forEach((leaf, i) => {
      this.checkLeaf(leaf, offset + i, lengths);
    });
    return leaves as Tensor[];
  }

  /**
   * The shapes of arguments that differ from those that it was compiled for in shapes alone, as a key; undefined for
   * the shapes that it was compiled for and for what no compilation could mend.
   */
  otherShapes(args: readonly unknown[]): string | undefined {
    const [leaves] = this.inOrder(args, 0, this.argumentTrees.length);
    const types = this.inputTypes;
    const isOfType = (leaf: unknown, i: number): leaf is Tensor =>
      leaf instanceof Tensor && leaf.dtype === types[i].dtype;
    if (!leaves.every(isOfType)) return undefined;
    const shapes = leaves.map(({ shape }) => shape.join());
    return shapes.some((shape, i) => shape !== types[i].shape.join()) ? shapes.join(";") : undefined;
  }

  /** The leaves of some of the arguments in the order of the inputs, and the index of the first input. */
  private inOrder(args: readonly unknown[], first: number, end: number): [unknown[], number] {
    const number = (list: readonly unknown[]) => Object.fromEntries(list.map((arg, i) => [first + i, arg]));
    const trees = number(this.argumentTrees.slice(first, end));
    const [paths] = flattenTree<string>(trees);
    const offset = this.inputPaths.indexOf(paths[0]);
    const leaves = leavesInOrderOf(trees, number(args), (path, problem) => {
      const what = problem === "missing" ? "is missing" : "is not one that it was compiled for";
      return new ProgramError(`Argument ${path} of "${this.name}" ${what}.`);
    });
    return [leaves, offset];
  }

  /** `lengths` are those that the arguments before this one gave to axes of no fixed length. */
  private checkLeaf(leaf: unknown, index: number, lengths: Map<string, number>): void {
    const { dtype, shape } = this.inputTypes[index];
    const fits = (size: number | string, given: number) => {
      if (typeof size === "number") return given === size;
      if (!lengths.has(size)) lengths.set(size, given);
      return given === lengths.get(size) && given > 0;
    };
    const isOfType = leaf instanceof Tensor && leaf.dtype === dtype;
    if (
      isOfType &&
      leaf.shape.length === shape.length &&
      shape.every((size, axis) => fits(size, leaf.shape[axis]))
    ) {
      return;
    }
    const known = [...lengths]
      .filter(([name]) => shape.includes(name))
      .map(([name, size]) => `, ${name} = ${size}`);
    throw new ProgramError(
      `Argument ${this.inputPaths[index]} of "${this.name}" must be ${inWords({ dtype, shape })}${known.join("")}, ` +
        `as it was compiled for; given: ${leaf instanceof Tensor ? inWords(leaf) : describe(leaf)}.` +
        (isOfType ? this.advice : ""),
    );
  }
}

/**
 * Refuses a step whose new carry differs in shape or type from its carry.
 *
 * @param paths of the leaves of the carry, which come first among the inputs and the outputs
 */
export function checkCarry(
  name: string,
  paths: readonly string[],
  inputs: readonly LeafType[],
  outputs: readonly (LeafType | undefined)[],
): void {
  paths.forEach((path, i) => {
    const [before, after] = [inputs[i], outputs[i]];
    if (after && inWords(before) === inWords(after)) return;
    throw new ProgramError(
      `The step "${name}" must return its carry as it takes it. Leaf ${path} is ` +
        `${inWords(before)} going in and ${after ? inWords(after) : "missing"} coming out.`,
    );
  });
}
