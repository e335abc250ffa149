import { ProgramError } from "./errors.js";
import type { Executable } from "./executable.js";

export interface NewShapesOptions {
  /**
   * What a run does with arguments of other shapes than the program was compiled for: refuse them, or compile the
   * function for them too. Default: "refuse".
   */
  onNewShapes?: "refuse" | "recompile";
  /** For how many combinations of shapes a function is compiled at the most. Default: 8. */
  maxVariants?: number;
}

const MAX_VARIANTS = 8;

/** A function compiled for several combinations of argument shapes, each when it is first met. */
export class Variants {
  private readonly others = new Map<string, Promise<Executable>>();
  private isDisposed = false;

  constructor(
    private readonly first: Executable,
    private readonly create: (args: readonly unknown[]) => Promise<Executable>,
    private readonly options: NewShapesOptions,
  ) {}

  /** The executable for these arguments; the first one where it is for that to take or to refuse them. */
  for(args: readonly unknown[]): Executable | Promise<Executable> {
    if (this.isDisposed) throw this.first.afterDispose();
    if (this.options.onNewShapes !== "recompile") return this.first;
    const key = this.first.signature.otherShapes(args);
    if (key === undefined) return this.first;
    const known = this.others.get(key);
    if (known) return known;
    const { maxVariants = MAX_VARIANTS } = this.options;
    if (this.others.size + 1 >= maxVariants) {
      throw new ProgramError(
        `"${this.first.name}" was given arguments of yet another shape; it has been compiled for ${maxVariants} already. ` +
          "Pad the arguments so that they have fewer different shapes, or set maxVariants higher.",
      );
    }
    const compiling = this.create(args);
    this.others.set(key, compiling);
    // What could not be compiled takes no place.
    compiling.catch(() => this.others.delete(key));
    return compiling;
  }

  async dispose(): Promise<void> {
    this.isDisposed = true;
    const others = [...this.others.values()];
    this.others.clear();
    await this.first.dispose();
    await Promise.all(others.map(async (other) => (await other.catch(() => undefined))?.dispose()));
  }
}
