import { type Array as JaxArray, numpy as np, valueAndGrad } from "@jax-js/jax";
import { type CarryProgram, compileStep, scalar, Tensor } from "@outgrow/engine";
import type { Batch, Columns } from "../data/columns.js";
import { UserError } from "../errors.js";
import { type FlatTree, flatTree } from "./flat.js";
import { type AdamWConfig, adamW, adamWDefaults } from "./optimizer.js";
import type { Carry } from "./training.js";

/**
 * What an update minimises, and what it reports besides: scalars, of which no gradient is taken. Arrays may be used as
 * often as needed.
 */
export type UpdateLoss<Traced, Frozen> = (
  params: Traced,
  batch: Batch,
  frozen: Frozen,
) => { loss: JaxArray; measures: Record<string, JaxArray> };

export interface UpdatesSpec<P, Traced, Frozen> {
  /** For errors and the ONNX file. */
  name: string;
  /** A tree of float32 tensors: where the first update starts. */
  params: P;
  /** A tree of tensors that stay as they are, e.g. a teacher's weights. */
  frozen?: unknown;
  loss: UpdateLoss<Traced, Frozen>;
  /** Optimiser constants. Default: Adam (no weight decay). */
  optimizer?: Partial<AdamWConfig>;
}

/** `loss`, `gradientNorm` and what the loss reports. */
export type UpdateMeasures = Record<string, number>;

type Inputs = [batch: Columns, frozen: unknown, learningRate: Tensor];
type StepProgram = CarryProgram<Carry<Tensor>, Inputs, { values: Tensor }>;

/**
 * A training whose batches are made as it goes, e.g. from what the model itself has just written. Batches may differ in
 * shape: one program is compiled for each, and the parameters and the optimiser's state move on to the one that is needed.
 */
export class Updates<P, Traced, Frozen = never> {
  private readonly flat: FlatTree<P>;
  private readonly programs = new Map<string, { program: Promise<StepProgram>; names: string[] }>();
  private current: StepProgram | undefined;
  private start: Carry<Tensor>;
  private taken = 0;

  constructor(private readonly spec: UpdatesSpec<P, Traced, Frozen>) {
    this.flat = flatTree(spec.params);
    const zeros = () => new Tensor(new Float32Array(this.flat.size));
    this.start = {
      parameters: this.flat.flatten(spec.params),
      optimizer: { m: zeros(), v: zeros(), step: scalar(0) },
    };
  }

  /** Updates so far. */
  get count(): number {
    return this.taken;
  }

  /**
   * One step on a batch.
   *
   * @throws UserError where the loss or the gradient is not finite
   */
  async update(batch: Columns, learningRate: number): Promise<UpdateMeasures> {
    const { program: compiling, names } = this.programFor(batch);
    const program = await compiling;
    if (program !== this.current) {
      program.setCarry(this.current ? await this.current.carry() : this.start);
      this.current = program;
    }
    const { values } = await program.run(batch, this.spec.frozen ?? {}, scalar(learningRate));
    this.taken++;
    const measures = Object.fromEntries(names.map((name, i) => [name, values.data[i]]));
    for (const name of ["loss", "gradientNorm"]) {
      if (Number.isFinite(measures[name])) continue;
      throw new UserError(
        `training of "${this.spec.name}" diverged: its ${name} is ${measures[name]} at step ${this.taken}`,
        { hint: "Lower the learning rate, or look for extreme values in the inputs.", exitCode: 1 },
      );
    }
    return measures;
  }

  /** The parameters as they are now. */
  async params(): Promise<P> {
    const { parameters } = this.current ? await this.current.carry() : this.start;
    return this.flat.unflatten(parameters);
  }

  async dispose(): Promise<void> {
    const programs = [...this.programs.values()];
    this.programs.clear();
    for (const { program } of programs) await (await program).dispose();
  }

  private programFor(batch: Columns): { program: Promise<StepProgram>; names: string[] } {
    const key = Object.entries(batch)
      .map(([name, { dtype, shape }]) => `${name} ${dtype}[${shape}]`)
      .sort()
      .join();
    const known = this.programs.get(key);
    if (known) return known;
    const { name, loss, frozen = {} } = this.spec;
    const optimizer = { ...adamWDefaults, ...this.spec.optimizer };
    const names: string[] = [];
    const step = (
      { parameters, optimizer: state }: Carry<JaxArray>,
      traced: Batch,
      fixed: Frozen,
      learningRate: JaxArray,
    ) => {
      const differentiated = valueAndGrad(
        (params: JaxArray): [JaxArray, Record<string, JaxArray>] => {
          const result = loss(params as Traced, traced, fixed);
          return [result.loss, result.measures];
        },
        { hasAux: true },
      );
      const [[value, measures], gradient] = differentiated(this.flat.split<JaxArray>(parameters));
      const vector = this.flat.concatenate(gradient);
      const gradientNorm = np.sqrt(np.square(vector).sum());
      const [next, after] = adamW(optimizer, parameters, vector, state, learningRate);
      const all: Record<string, JaxArray> = { loss: value, gradientNorm, ...measures };
      names.splice(0, names.length, ...Object.keys(all));
      return [{ parameters: next, optimizer: after }, { values: np.stack(Object.values(all)) }];
    };
    const program = compileStep(step as never, [this.start, batch, frozen, scalar(0)] as never, {
      name,
    }) as unknown as Promise<StepProgram>;
    const made = { program, names };
    this.programs.set(key, made);
    return made;
  }
}
