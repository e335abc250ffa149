import type { CarryProgram, CompileOptions, Outside, Program } from "../compile.js";
import { noStepInputs, ProgramError } from "../errors.js";
import type { TracedFunction } from "../executable.js";
import { FiniteCheck } from "../finite.js";
import { checkCarry, leafPaths } from "../signature.js";
import { flattenTree, isBranch, leavesInOrderOf, Tensor } from "../tensor.js";
import { JaxProgram } from "./jax-program.js";

// A browser gets this module in place of ../compile.ts (package.json, "browser"): the same functions, on jax-js's own
// backends. ONNX Runtime's options `threads`, `arena`, `deterministic` and `cache` have no meaning here; a program runs on the shapes that it was compiled for.

export type { CarryProgram, CompileOptions, Outside, Program };

type OutsideAll<Args extends readonly unknown[]> = { [K in keyof Args]: Outside<Args[K]> };

/** As in ../compile.ts. */
export async function compile<Args extends readonly unknown[], Result>(
  fn: (...args: Args) => Result,
  exampleArgs: OutsideAll<Args>,
  options: CompileOptions = {},
): Promise<Program<OutsideAll<Args>, Outside<Result>>> {
  const program = await JaxProgram.create(fn as TracedFunction, exampleArgs, options);
  const finite = options.checkFinite ? new FiniteCheck(program.name) : undefined;
  return {
    threads: program.threads,
    fallbacks: [],
    async run(...args) {
      const result = program.rebuild(await program.call(program.signature.leaves(args)));
      finite?.check(result);
      return result as Outside<Result>;
    },
    toOnnx: () => program.toOnnx(),
    dispose: () => program.dispose(),
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}

/** As in ../compile.ts, with the carry on the device. */
export async function compileStep<Carry, Inputs extends readonly unknown[], Result>(
  fn: (carry: Carry, ...inputs: Inputs) => readonly [Carry, Result],
  exampleArgs: readonly [Outside<Carry>, ...OutsideAll<Inputs>],
  options: CompileOptions = {},
): Promise<CarryProgram<Outside<Carry>, OutsideAll<Inputs>, Outside<Result>>> {
  const args: readonly unknown[] = exampleArgs;
  const name = options.name ?? (fn.name || "program");
  const step = (carry: Carry, ...inputs: Inputs) => {
    const pair: unknown = fn(carry, ...inputs);
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new ProgramError(`The step "${name}" must return [carry, result].`);
    }
    return [carryLeaves(name, args[0], pair[0]), pair[1]];
  };
  const program = await JaxProgram.create(step as TracedFunction, args, { ...options, name });
  const [first, rebuildCarry] = flattenTree<Tensor>(args[0]);
  checkCarry(name, leafPaths([args[0]]), first, program.outputTypes);
  const held = program.hold(first);
  const finite = options.checkFinite ? new FiniteCheck(name) : undefined;
  let running = false;
  const busy = () => new ProgramError(`A step of "${name}" is still running; await it first.`);
  return {
    threads: program.threads,
    fallbacks: [],
    async run(...inputs) {
      if (running) throw busy();
      running = true;
      try {
        const leaves = program.signature.leaves(inputs, 1);
        const [, result] = program.rebuild(await held.step(leaves)) as [unknown, unknown];
        finite?.check(result);
        return result as Outside<Result>;
      } finally {
        running = false;
      }
    },
    carry: async () => rebuildCarry(await held.read()) as Outside<Carry>,
    setCarry(carry) {
      if (running) throw busy();
      held.write(program.signature.leaves([carry], 0, 1));
    },
    toOnnx: () => program.toOnnx(),
    dispose: () => program.dispose(),
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}

/** As in ../compile.ts: here one step after another, whose results are put together. */
export async function compileSteps<Carry, Inputs, Constants extends readonly unknown[], Result>(
  fn: (carry: Carry, inputs: Inputs, ...constants: Constants) => readonly [Carry, Result],
  exampleArgs: readonly [Outside<Carry>, Outside<Inputs>, ...OutsideAll<Constants>],
  options: CompileOptions = {},
): Promise<CarryProgram<Outside<Carry>, [Outside<Inputs>, ...OutsideAll<Constants>], Outside<Result>>> {
  const name = options.name ?? (fn.name || "program");
  if (flattenTree(exampleArgs[1])[0].length === 0) throw noStepInputs(name);
  const program = await compileStep<Carry, [Inputs, ...Constants], Result>(
    fn,
    exampleArgs as unknown as readonly [Outside<Carry>, ...OutsideAll<[Inputs, ...Constants]>],
    { ...options, name },
  );
  return {
    ...program,
    async run(inputs, ...constants) {
      const [leaves, rebuild] = flattenTree<Tensor>(inputs);
      const steps = leaves[0]?.shape[0];
      if (!steps || leaves.some((leaf) => leaf.shape[0] !== steps)) {
        throw new ProgramError(
          `The inputs of "${name}" must have one leading axis of steps, the same for all; given: ` +
            leaves.map(({ dtype, shape }) => `${dtype}[${shape}]`).join(", "),
        );
      }
      const results: Outside<Result>[] = [];
      for (let step = 0; step < steps; step++) {
        const one = rebuild(leaves.map((leaf) => sliceOf(leaf, step))) as Outside<Inputs>;
        const args = [one, ...constants] as unknown as OutsideAll<[Inputs, ...Constants]>;
        results.push(await program.run(...args));
      }
      return stacked(results) as Outside<Result>;
    },
  };
}

/** One entry along the first axis. */
function sliceOf({ data, shape }: Tensor, index: number): Tensor {
  const size = data.length / shape[0];
  return new Tensor(data.slice(index * size, (index + 1) * size), shape.slice(1));
}

/** Trees of the same form as one, whose leaves have an axis more in front. */
function stacked(trees: readonly unknown[]): unknown {
  const [first, rebuild] = flattenTree<Tensor>(trees[0]);
  const all = trees.map((tree) => flattenTree<Tensor>(tree)[0]);
  return rebuild(
    first.map(({ data, shape }, i) => {
      const joined = new (data.constructor as Float32ArrayConstructor)(trees.length * data.length);
      all.forEach((leaves, step) => {
        joined.set(leaves[i].data as Float32Array, step * data.length);
      });
      return new Tensor(joined, [trees.length, ...shape]);
    }),
  );
}

/** The leaves of a step's new carry in the order of its carry's; refused where the trees differ. */
function carryLeaves(name: string, carry: unknown, next: unknown): unknown[] {
  const refuse = (what: string) =>
    new ProgramError(`The step "${name}" must return its carry as it takes it: ${what} in the new carry.`);
  const leaves = leavesInOrderOf(carry, next, (path, problem) => refuse(`${path} is ${problem}`));
  if (leaves.some(isBranch)) throw refuse("a tree stands in place of an array");
  return leaves;
}
