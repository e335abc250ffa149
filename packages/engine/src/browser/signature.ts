import { ProgramError } from "../errors.js";
import { flattenTree, leavesInOrderOf, namedLeaves, Tensor } from "../tensor.js";
import { describe } from "../trace.js";

/** Element type and shape of a leaf. */
export interface LeafType {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** What a program takes and gives, and the checks of what it is given. */
export class Signature {
  /** The paths of the leaves of the arguments, e.g. "0.layers.1.w". */
  readonly inputPaths: readonly string[];
  /** The trees of the arguments, with the path of each leaf in its place. */
  private readonly argumentTrees: readonly unknown[];

  constructor(
    readonly name: string,
    exampleArgs: readonly unknown[],
    private readonly inputTypes: readonly LeafType[],
    private readonly outputTypes: readonly LeafType[],
  ) {
    const isLeaf = (node: unknown): node is never => node instanceof Tensor;
    this.inputPaths = namedLeaves(exampleArgs as never, isLeaf).map(([path]) => path);
    this.argumentTrees = flattenTree(exampleArgs)[1]([...this.inputPaths]) as unknown[];
  }

  /** The leaves of the arguments with indices from `first` to before `end`, in the order of the inputs; checked. */
  leaves(args: readonly unknown[], first = 0, end = this.argumentTrees.length): Tensor[] {
    const number = (list: readonly unknown[]) => Object.fromEntries(list.map((arg, i) => [first + i, arg]));
    const trees = number(this.argumentTrees.slice(first, end));
    const [paths] = flattenTree<string>(trees);
    const offset = this.inputPaths.indexOf(paths[0]);
    const leaves = leavesInOrderOf(trees, number(args), (path, problem) => {
      const what = problem === "missing" ? "is missing" : "is not one that it was compiled for";
      return new ProgramError(`Argument ${path} of "${this.name}" ${what}.`);
    });
    leaves.forEach((leaf, i) => {
      this.checkLeaf(leaf, offset + i);
    });
    return leaves as Tensor[];
  }

  private checkLeaf(leaf: unknown, index: number): void {
    const { dtype, shape } = this.inputTypes[index];
    if (!(leaf instanceof Tensor) || leaf.dtype !== dtype || leaf.shape.join() !== shape.join()) {
      const given = leaf instanceof Tensor ? `${leaf.dtype}[${leaf.shape}]` : describe(leaf);
      throw new ProgramError(
        `Argument ${this.inputPaths[index]} of "${this.name}" must be ${dtype}[${shape}], as it was compiled for; ` +
          `given: ${given}.`,
      );
    }
  }

  /** Refuses a step whose new carry differs in shape or type from its carry. */
  checkCarry(leaves: readonly Tensor[]): void {
    leaves.forEach((leaf, i) => {
      const output = this.outputTypes[i];
      if (output?.dtype !== leaf.dtype || output.shape.join() !== leaf.shape.join()) {
        throw new ProgramError(
          `The step "${this.name}" must return its carry as it takes it. Leaf ${this.inputPaths[i]} is ` +
            `${leaf.dtype}[${leaf.shape}] going in and ${output ? `${output.dtype}[${output.shape}]` : "missing"} coming out.`,
        );
      }
    });
  }
}
