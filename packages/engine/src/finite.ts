import { NonFiniteError } from "./errors.js";
import { namedLeaves, Tensor } from "./tensor.js";

/** Looks for numbers that are not finite in the results of a program's runs. */
export class FiniteCheck {
  private taken = 0;

  constructor(
    private readonly programName: string,
    /** Whether a run takes several steps, which are the leading axis of its results. */
    private readonly severalSteps = false,
  ) {}

  /** @throws NonFiniteError where a number of the result, a tree of tensors, is not finite */
  check(result: unknown): void {
    const leaves = namedLeaves<Tensor>(result as never, (node): node is Tensor => node instanceof Tensor);
    const before = this.taken;
    this.taken += this.severalSteps ? (leaves[0]?.[1].shape[0] ?? 0) : 1;
    for (const [path, { data, shape }] of leaves) {
      let first = -1;
      let bad = 0;
      for (let i = data.length - 1; i >= 0; i--) {
        if (Number.isFinite(data[i])) continue;
        first = i;
        bad++;
      }
      if (first < 0) continue;
      const problem =
        shape.length === 0
          ? `it is ${data[first]}`
          : `${bad} of its ${data.length} values, the first at [${position(first, shape)}], which is ${data[first]}`;
      const withinRun = this.severalSteps ? position(first, shape)[0] : 0;
      throw new NonFiniteError(this.programName, before + withinRun + 1, path, problem);
    }
  }
}

function position(index: number, shape: readonly number[]): number[] {
  let rest = index;
  return shape.map((_, axis) => {
    const stride = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const at = Math.floor(rest / stride);
    rest %= stride;
    return at;
  });
}
