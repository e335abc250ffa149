import { tree } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { UserError } from "../errors.js";
import { namedTensors } from "../models/checkpoint.js";

/*
 * Arithmetic on whole checkpoints, tensor by tensor and by name: averages of models, extrapolation beyond a training (ExPO,
 * Zheng et al. 2024), task vectors (Ilharco et al. 2023). Trees of tensors in, a tree of the form of the first out. Sums are taken in
 * float64 and rounded once. Tensors that are not float32 are those of the first.
 */

export interface WeightedCheckpoint {
  params: object;
  weight: number;
}

/**
 * The weighted sum of checkpoints.
 *
 * @throws UserError where names, shapes or types differ, with the first five, or a result is not finite, with its tensor
 */
export function weightedSum<P extends object>(
  first: { params: P; weight: number },
  ...others: readonly WeightedCheckpoint[]
): P {
  const terms = [first, ...others];
  const all = terms.map(({ params }) => namedTensors(params));
  for (const other of all.slice(1)) requireSameTensors(all[0], other);
  const results = new Map<Tensor, Tensor>();
  for (const [name, tensor] of all[0]) {
    if (tensor.dtype !== "float32") continue;
    const parts = all.map((named) => (named.get(name) as Tensor).data);
    const sum = Float32Array.from(tensor.data as Float32Array, (_, i) =>
      parts.reduce((total, part, k) => total + terms[k].weight * part[i], 0),
    );
    const wrong = sum.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) {
      throw new UserError(`the sum of checkpoints has ${wrong} in the tensor "${name}"`, { exitCode: 1 });
    }
    results.set(tensor, new Tensor(sum, tensor.shape));
  }
  return tree.map((leaf: never) => results.get(leaf) ?? leaf, first.params as never) as P;
}

/** `(1 - share) a + share b`. @throws UserError for a share outside [0, 1], and as {@link weightedSum} */
export function interpolateCheckpoints<P extends object>(a: P, b: P, share: number): P {
  if (!(share >= 0 && share <= 1)) {
    throw new UserError(`the share of the second checkpoint is ${share}, expected 0 to 1`, {
      hint: "To go beyond a checkpoint, use extrapolateCheckpoint.",
    });
  }
  return weightedSum({ params: a, weight: 1 - share }, { params: b, weight: share });
}

/**
 * `later + factor (later - earlier)`: further in the direction in which training went.
 *
 * @throws UserError for a negative factor, and as {@link weightedSum}
 */
export function extrapolateCheckpoint<P extends object>(later: P, earlier: P, factor: number): P {
  if (!(factor >= 0 && factor < Number.POSITIVE_INFINITY)) {
    throw new UserError(`the factor of an extrapolation is ${factor}, expected 0 or more`);
  }
  return weightedSum({ params: later, weight: 1 + factor }, { params: earlier, weight: -factor });
}

/** `tuned - base`: what finetuning changed. @throws UserError as {@link weightedSum} */
export function taskVector<P extends object>(tuned: P, base: P): P {
  return weightedSum({ params: tuned, weight: 1 }, { params: base, weight: -1 });
}

/** The base with task vectors added to it, each times its weight; a negative one forgets the task. */
export function addTaskVectors<P extends object>(
  base: P,
  vectors: readonly { vector: P; weight: number }[],
): P {
  return weightedSum(
    { params: base, weight: 1 },
    ...vectors.map(({ vector, weight }) => ({ params: vector, weight })),
  );
}

function requireSameTensors(wanted: ReadonlyMap<string, Tensor>, given: ReadonlyMap<string, Tensor>): void {
  const form = ({ dtype, shape }: Tensor) => `${dtype}[${shape}]`;
  const problems: string[] = [];
  for (const [name, tensor] of wanted) {
    const other = given.get(name);
    if (!other) problems.push(`"${name}" is missing`);
    else if (form(other) !== form(tensor)) {
      problems.push(`"${name}" is ${form(other)}, expected ${form(tensor)}`);
    }
  }
  for (const name of given.keys()) if (!wanted.has(name)) problems.push(`"${name}" is not expected`);
  if (problems.length === 0) return;
  const listed = problems.slice(0, 5).join("; ") + (problems.length > 5 ? "; ..." : "");
  throw new UserError(`the checkpoints differ in ${problems.length} tensors: ${listed}`, {
    hint: "Only models of one form can be added, e.g. two that were finetuned from the same base.",
  });
}
