import { type Array as JaxArray, valueAndGrad } from "@jax-js/jax";
import { compile, Tensor } from "@outgrow/engine";
import { expect } from "vitest";

export type Inputs = Record<string, Tensor>;
export type Numbers = Record<string, Float64Array>;

/** The value of a traced scalar function and its gradient by each of the float32 inputs. */
export async function valueAndGradients(
  traced: (inputs: Record<string, JaxArray>) => JaxArray,
  inputs: Inputs,
): Promise<{ value: number; gradients: Inputs }> {
  const program = await compile(
    (given: Record<string, JaxArray>) => valueAndGrad(traced)(given) as unknown as [JaxArray, typeof given],
    [inputs],
  );
  const [value, gradients] = await program.run(inputs);
  await program.dispose();
  return { value: value.item(), gradients };
}

/**
 * Expects a traced scalar function to have the value of one in plain loops, and the gradient that central differences of that
 * one have in float64.
 */
export async function expectAgreement(
  traced: (inputs: Record<string, JaxArray>) => JaxArray,
  slow: (inputs: Numbers) => number,
  inputs: Inputs,
  { tolerance = 1e-4, step = 1e-5, by = Object.keys(inputs) } = {},
): Promise<void> {
  const { value, gradients } = await valueAndGradients(traced, inputs);
  const numbers = Object.fromEntries(
    Object.entries(inputs).map(([key, { data }]) => [key, Float64Array.from(data)]),
  );
  const near = (given: number, wanted: number, what: string) =>
    expect(Math.abs(given - wanted), `${what}: ${given}, expected ${wanted}`).toBeLessThanOrEqual(
      tolerance * (1 + Math.abs(wanted)),
    );
  near(value, slow(numbers), "value");
  for (const key of by) {
    numbers[key].forEach((at, i) => {
      const moved = (to: number) => {
        numbers[key][i] = to;
        const result = slow(numbers);
        numbers[key][i] = at;
        return result;
      };
      near(
        gradients[key].data[i],
        (moved(at + step) - moved(at - step)) / (2 * step),
        `gradient of ${key}[${i}]`,
      );
    });
  }
}

export const vector = (...values: number[]) => new Tensor(Float32Array.from(values));
