import * as jax from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { compile, compileStep, compileSteps } from "./compile.js";
import { NonFiniteError, ProgramError, TracingError, UnsupportedPrimitiveError } from "./errors.js";
import { scalar, Tensor, zeros } from "./tensor.js";

const { numpy: np } = jax;

let line = "";
/** Notes the file and line of its caller, as stack traces name them. */
function noteLine(): true {
  line = /([^/\\]+:\d+):\d+\)?$/.exec((new Error().stack ?? "").split("\n")[2])?.[1] as string;
  return true;
}

async function errorOf(attempt: Promise<unknown>): Promise<Error> {
  return attempt.then(
    () => expect.unreachable("it should have thrown"),
    (error) => error,
  );
}

describe("what jax-js refuses", () => {
  const refused: [string, (x: jax.Array, y: jax.Array) => unknown, RegExp][] = [
    ["shapes that do not fit", (x, y) => noteLine() && x.add(y), /[Ii]ncompatible|broadcast/],
    ["a product of such", (x, y) => noteLine() && np.matmul(x, y), /./],
    [
      "the same in a gradient",
      (x, y) => jax.grad((z: jax.Array) => noteLine() && (z.add(y).sum() as jax.Array))(x),
      /[Ii]ncompatible|broadcast/,
    ],
    [
      "the same in a jitted and vmapped function",
      (x, y) => {
        const inner = jax.jit((z: jax.Array) => noteLine() && (z.reshape([7]).mul(y) as jax.Array));
        return jax.vmap(inner as (z: jax.Array) => jax.Array)(x);
      },
      /reshape|size/i,
    ],
    [
      "a gradient of what is not a scalar",
      (x) => noteLine() && jax.grad((z: jax.Array) => z.mul(2))(x),
      /scalar/,
    ],
  ];
  for (const [title, fn, problem] of refused) {
    it(`is told with the user's line and the arguments: ${title}`, async () => {
      const args: [Tensor, Tensor] = [zeros([2, 3]), zeros([4], "float32")];
      const error = await errorOf(compile(fn, args, { name: "loss" }));
      expect(error).toBeInstanceOf(TracingError);
      expect(error.message).toMatch(problem);
      expect((error as TracingError).line).toContain(`${line}:`);
      expect(error.message.startsWith(`${(error as TracingError).line}: `)).toBe(true);
      expect(error.message).toContain('Compiling "loss" for the arguments 0: float32[2,3], 1: float32[4]');
      expect(error.cause).toBeInstanceOf(Error);
      // The first frame that one sees is one's own.
      expect(error.stack?.split("\n").find((frame) => /^ +at /.test(frame))).toContain(line);
    });
  }

  it("is told apart from what the function itself throws, which stays as it is", async () => {
    class OwnError extends Error {}
    const own = new OwnError("the teacher has no labels");
    const attempt = compile(
      (x: jax.Array) => {
        jax.grad((y: jax.Array) => {
          if (y.ndim === 0) throw own;
          return y;
        })(x);
        return x;
      },
      [scalar(1)],
    );
    expect(await errorOf(attempt)).toBe(own);
    const typo = compile((x: jax.Array) => (x as never as { foo(): jax.Array }).foo(), [scalar(1)]);
    expect(await errorOf(typo)).toBeInstanceOf(TypeError);
  });

  it("leaves the length of stack traces as it was", async () => {
    const before = Error.stackTraceLimit;
    await errorOf(compile((x: jax.Array) => x.reshape([7]), [scalar(1)]));
    expect(Error.stackTraceLimit).toBe(before);
  });
});

describe("what has no lowering", () => {
  const factor = (x: jax.Array) => noteLine() && jax.lax.linalg.cholesky(x);
  const jitted = jax.jit((x: jax.Array) => factor(x).sum());
  const refuse = { fallback: "refuse" } as const;
  const refused: [string, (x: jax.Array) => unknown][] = [
    ["plainly", (x) => [np.sin(x), factor(x)]],
    ["in a gradient", (x) => jax.grad((y: jax.Array) => factor(np.sin(y)).sum())(x)],
    ["in a function that was jitted and traced before", (x) => [x.mul(2), noteLine() && jitted(x)]],
  ];
  for (const [title, fn] of refused) {
    it(`is refused with the line that uses it: ${title}`, async () => {
      if (title.includes("before"))
        await errorOf(compile((x: jax.Array) => jitted(x), [zeros([300, 300])], refuse));
      const error = await errorOf(compile(fn, [zeros([300, 300])], { name: "loss", ...refuse }));
      expect(error).toBeInstanceOf(UnsupportedPrimitiveError);
      expect((error as UnsupportedPrimitiveError).line).toContain(`${line}:`);
      expect(error.message).toContain(`"loss" uses the jax-js primitive cholesky `);
      expect(error.stack?.split("\n").find((frame) => /^ +at /.test(frame))).toContain(line);
    });
  }

  it("is refused without a line where tracing twice gives another program", async () => {
    let calls = 0;
    const error = await errorOf(
      compile((x: jax.Array) => (calls++ === 0 ? factor(x) : np.sin(x)), [zeros([300, 300])], {
        fallback: "refuse",
      }),
    );
    expect(error).toBeInstanceOf(UnsupportedPrimitiveError);
    expect((error as UnsupportedPrimitiveError).line).toBeUndefined();
  });
});

describe("results that are not finite", () => {
  it("are refused with the step and the output, only where that was asked for", async () => {
    const divide = (carry: jax.Array, x: jax.Array) =>
      [carry.sub(1), { loss: x.sum().div(carry), all: np.log(x) }] as const;
    const args: [Tensor, Tensor] = [scalar(2), new Tensor(Float32Array.of(1, 1, 1, 1), [2, 2])];
    const step = await compileStep(divide, args, { name: "train", checkFinite: true });
    await step.run(args[1]);
    await step.run(args[1]);
    const error = (await errorOf(step.run(args[1]))) as NonFiniteError;
    expect(error).toBeInstanceOf(NonFiniteError);
    expect([error.step, error.output]).toEqual([3, "loss"]);
    expect(error.message).toContain(
      'Step 3 of "train" gave a result "loss" that is not finite: it is Infinity.',
    );
    const broken = new Tensor(Float32Array.of(1, 1, -1, -2), [2, 2]);
    expect((await errorOf(step.run(broken))).message).toContain(
      '"all" that is not finite: 2 of its 4 values, the first at [1,0], which is NaN',
    );
    const unchecked = await compileStep(divide, [scalar(0), args[1]]);
    expect((await unchecked.run(args[1])).loss.item()).toBe(Infinity);

    const several = await compileSteps(
      (carry: jax.Array, x: jax.Array) => [carry.sub(1), x.div(carry)] as const,
      [scalar(5), scalar(1)],
      { checkFinite: true },
    );
    const steps = (count: number) => new Tensor(new Float32Array(count).fill(1));
    await several.run(steps(3));
    expect(((await errorOf(several.run(steps(4)))) as NonFiniteError).step).toBe(6);

    const plain = await compile((x: jax.Array) => np.log(x), [scalar(1)], { checkFinite: true });
    await plain.run(scalar(1));
    expect(((await errorOf(plain.run(scalar(0)))) as NonFiniteError).step).toBe(2);
    await plain.run(scalar(1));
  });

  it("are no fault of arguments, which may be anything", async () => {
    const program = await compile((x: jax.Array) => np.where(np.equal(x, x), 1, 0), [scalar(1)]);
    expect((await program.run(scalar(Number.NaN))).item()).toBe(0);
    expect((await program.run(scalar(Number.POSITIVE_INFINITY))).item()).toBe(1);
  });
});

describe("a captured array of tens of megabytes", () => {
  it("is warned of once, with its size and what to do", async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    const size = 10_000_000;
    const large = np.array(Float32Array.from({ length: size }, (_, i) => i));
    const small = np.arange(1000);
    for (const captured of [small, large, large]) {
      const program = await compile((x: jax.Array) => captured.sum().add(x), [scalar(1)], { name: "loss" });
      await program.dispose();
    }
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    large.dispose();
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /"loss" holds 40 MB of constants, the largest float32\[10000000\].*as an argument/,
      ),
    ]);
  });
});

describe("arguments of other shapes", () => {
  const fn = ({ a, b }: { a: jax.Array; b: jax.Array }) => a.sum().add(b.sum().mul(10));
  const ones = (size: number) => new Tensor(new Float32Array(size).fill(1));
  const run = (program: { run(x: { a: Tensor; b: Tensor }): Promise<Tensor> }, a: number, b: number) =>
    program.run({ a: ones(a), b: ones(b) }).then((result) => result.item());

  it("are refused by default, with the way to have them taken", async () => {
    const program = await compile(fn, [{ a: ones(2), b: ones(3) }]);
    const error = await errorOf(run(program as never, 2, 4));
    expect(error).toBeInstanceOf(ProgramError);
    expect(error.message).toContain('Argument 0.b of "fn" must be float32[3]');
    expect(error.message).toContain('onNewShapes: "recompile"');
  });

  it("are compiled for where that was asked for, each once, up to a bound", async () => {
    let traced = 0;
    const counting = (x: { a: jax.Array; b: jax.Array }) => {
      traced++;
      return fn(x);
    };
    const program = (await compile(counting, [{ a: ones(2), b: ones(3) }], {
      onNewShapes: "recompile",
      maxVariants: 3,
    })) as never as { run(x: unknown): Promise<Tensor>; dispose(): Promise<void> };
    const both = await Promise.all([run(program, 2, 3), run(program, 3, 2), run(program, 3, 2)]);
    expect(both).toEqual([32, 23, 23]);
    expect(await program.run({ b: ones(3), a: ones(2) }).then((x) => x.item())).toBe(32);
    // The same lengths in the other order of keys are other shapes.
    expect(await program.run({ b: ones(2), a: ones(3) }).then((x) => x.item())).toBe(23);
    expect(await run(program, 5, 5)).toBe(55);
    expect(traced).toBe(3);
    const error = await errorOf(run(program, 6, 6));
    expect(error).toBeInstanceOf(ProgramError);
    expect(error.message).toMatch(/compiled for 3 already.*maxVariants/);
    expect(await run(program, 5, 5)).toBe(55);
    // What no compilation mends is refused as ever.
    await expect(program.run({ a: ones(2) })).rejects.toThrow("0.b");
    await expect(program.run({ a: ones(2), b: zeros([3], "int32") })).rejects.toThrow("given: int32[3]");
    await program.dispose();
    await expect(run(program, 5, 5)).rejects.toThrow(/used after dispose/);
    await expect(run(program, 2, 3)).rejects.toThrow(/used after dispose/);
  });

  it("are refused by jax-js with the user's line where the function does not fit them", async () => {
    const program = (await compile((x: jax.Array, y: jax.Array) => x.add(y), [ones(2), ones(2)], {
      onNewShapes: "recompile",
    })) as { run(...args: Tensor[]): Promise<Tensor> };
    for (let i = 0; i < 10; i++) {
      expect(await errorOf(program.run(ones(2), ones(3 + i)))).toBeInstanceOf(TracingError);
    }
    expect((await program.run(ones(4), ones(4))).data).toHaveLength(4);
  });
});

describe("dispose", () => {
  it("may be called twice, also at once, and by await using", async () => {
    const program = await compile((x: jax.Array) => x.mul(2), [scalar(1)]);
    await Promise.all([program.dispose(), program.dispose()]);
    await program[Symbol.asyncDispose]();
    await expect(program.run(scalar(1))).rejects.toThrow(
      'The program "fn" was used after dispose()'.replace("fn", "program"),
    );
    const step = await compileStep(
      (c: jax.Array, x: jax.Array) => [c.add(x), c] as const,
      [scalar(0), scalar(1)],
    );
    const running = step.run(scalar(1));
    const disposed = step[Symbol.asyncDispose]();
    expect((await running).item()).toBe(0);
    await disposed;
    await expect(step.run(scalar(1))).rejects.toThrow(/used after dispose/);
    expect((await step.carry()).item()).toBe(1);
  });
});
