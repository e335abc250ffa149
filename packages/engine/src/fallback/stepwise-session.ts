import * as ort from "onnxruntime-node";
import type { SegmentedSession, Session } from "./segmented-session.js";

/** How a step is taken several times in one run: its first inputs are the carry, the next have an axis of steps. */
export interface Steps {
  readonly carries: number;
  readonly inputs: number;
}

type Tensors = Readonly<Record<string, ort.Tensor>>;

/** Takes a step that runs partly on jax-js any number of times in one run, as a Scan does in a graph. */
export class StepwiseSession implements Session {
  constructor(
    private readonly step: SegmentedSession,
    private readonly steps: Steps,
  ) {}

  async run(feeds: Tensors, fetches: Readonly<Record<string, ort.Tensor | null>>): Promise<Tensors> {
    const { carries, inputs } = this.steps;
    const names = this.step.outputs.map(({ name }) => name);
    const count = feeds[`in${carries}`].dims[0];
    const current: Record<string, ort.Tensor> = { ...feeds };
    const results: Record<string, ort.Tensor> = {};
    for (let step = 0; step < count; step++) {
      for (let i = carries; i < carries + inputs; i++) current[`in${i}`] = part(feeds[`in${i}`], step);
      const made = await this.step.run(current, Object.fromEntries(names.map((name) => [name, null])));
      names.forEach((name, i) => {
        if (i < carries) {
          current[`in${i}`] = made[name];
          results[name] = made[name];
        } else {
          results[name] ??= stacked(made[name], count);
          copy(made[name], part(results[name], step));
        }
      });
    }
    for (const name of names) {
      const into = fetches[name];
      if (!into) continue;
      copy(results[name], into);
      results[name] = into;
    }
    return results;
  }

  release(): Promise<void> {
    return this.step.release();
  }
}

/** The numbers of one step, where they lie. */
function part({ type, data, dims }: ort.Tensor, step: number): ort.Tensor {
  const numbers = data as Float32Array;
  const size = numbers.length / dims[0];
  return new ort.Tensor(type as "float32", numbers.subarray(step * size, (step + 1) * size), dims.slice(1));
}

function stacked({ type, data, dims }: ort.Tensor, count: number): ort.Tensor {
  const numbers = data as Float32Array;
  const Numbers = numbers.constructor as Float32ArrayConstructor;
  return new ort.Tensor(type as "float32", new Numbers(count * numbers.length), [count, ...dims]);
}

const copy = (from: ort.Tensor, into: ort.Tensor) =>
  (into.data as Float32Array).set(from.data as Float32Array);
