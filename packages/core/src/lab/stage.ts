import type { z } from "zod";
import { contentHash } from "./content-hash.js";
import type { StageOutput } from "./output.js";

/** A value of this process that a stage works on, known by its content. Made with {@link given}. */
export interface Given<T = unknown> {
  readonly kind: "given";
  /** Of the value's content. */
  readonly hash: string;
  readonly value: T;
}

/** What a stage works on: the output of another stage, or a value by its content. Both have a `hash`. */
export type StageInput = StageOutput | Given;

/** A value as a stage's input. `hash` may be given where it is known, e.g. that of the file which the value was read from. */
export function given<T>(value: T, hash = contentHash(value)): Given<T> {
  return { kind: "given", hash, value };
}

type InputKind<Input extends StageInput> = { readonly kind: Input["kind"]; readonly type?: Input };
type InputKinds = Record<string, InputKind<StageInput>>;
type InputsOf<Kinds extends InputKinds> = {
  [Name in keyof Kinds]: Kinds[Name] extends InputKind<infer Input> ? Input : never;
};

/** Declares an input that is the output of another stage. */
export const fromStage: InputKind<StageOutput> = { kind: "output" };
/** Declares an input that is a value of type `T`. */
export const fromValue = <T>(): InputKind<Given<T>> => ({ kind: "given" });

/** What the function of a stage is given. Results depend on nothing but `config` and `inputs`. */
export interface StageContext<Config, Inputs> {
  config: Config;
  inputs: Inputs;
  /** An empty folder for the output: safetensors, JSONL, JSON, ... It becomes the stage's output when `run` returns. */
  folder: string;
  /** A folder that is still there when the process was killed and the stage runs again. Gone once the stage is done. */
  work: string;
  signal: AbortSignal;
  /** @param fraction share of the stage that is done, in [0, 1]. @param detail e.g. `loss 0.412`. */
  progress(fraction: number, detail?: string): void;
  /** Measures of a step of training, for people who watch; they are no part of the output. */
  metrics(step: number, values: Readonly<Record<string, number>>): void;
  /** The `checkpoint` option of a training: a file in `work`, looked at first and thrown away where it is damaged. */
  checkpoint(name: string): Promise<{ path: string; every: number; seconds: number; resume: true }>;
  /**
   * What `create` makes, once in this process for all stages that ask for the same name: compiled programs, or data that
   * is computed from the configuration. The name must tell apart all that `create` depends on. Disposed of with the lab.
   */
  shared<T>(name: string, create: () => T): T;
}

export interface StageDefinition<Schema extends z.ZodObject, Kinds extends InputKinds> {
  /** E.g. `w2sg/pretrain`: for people and for the key. */
  name: string;
  /**
   * Raised by hand when results change for a reason that the code does not show, such as another version of a
   * program outside of this process.
   */
  version: number;
  /** `import.meta.url` of the module with `run`: it and all that it imports are the code version (see code-version.ts). */
  code: string;
  /** Absent fields get their defaults before the key is made; unknown ones are refused. */
  config: Schema;
  inputs: Kinds;
  run(context: StageContext<z.output<Schema>, InputsOf<Kinds>>): Promise<void>;
}

/** A named step of work whose output is kept. */
export interface Stage<Schema extends z.ZodObject = z.ZodObject, Inputs = Record<string, StageInput>> {
  readonly name: string;
  readonly version: number;
  readonly code: string;
  readonly config: Schema;
  readonly inputNames: readonly string[];
  run(context: StageContext<z.output<Schema>, Inputs>): Promise<void>;
}

/**
 * A step of work whose output is kept and used again by {@link Lab.run} where its key is the same: the hash of its name,
 * the version of its code, its configuration with defaults filled in, and the content of its inputs. `run` must be a
 * function of `config` and `inputs` alone: no clock, no randomness but from a seed in `config`, no state of its module.
 *
 * ```ts
 * const pretrain = defineStage({
 *   name: "w2sg/pretrain", version: 1, code: import.meta.url,
 *   config: z.strictObject({ seed: z.int(), width: z.int() }),
 *   inputs: { corpus: fromValue<string[]>() },
 *   async run({ config, inputs, folder, checkpoint }) {
 *     ... write files into folder ...
 *   },
 * });
 * const output = await lab.run(pretrain, { seed: 0, width: 64 }, { corpus: given(texts) });
 * const { tensors } = await output.tensors("backbone.safetensors");
 * ```
 */
export function defineStage<Schema extends z.ZodObject, Kinds extends InputKinds>(
  definition: StageDefinition<Schema, Kinds>,
): Stage<Schema, InputsOf<Kinds>> {
  const { name, version, code, config, inputs } = definition;
  return {
    name,
    version,
    code,
    config,
    inputNames: Object.keys(inputs),
    run: (context) => definition.run(context),
  };
}

/** What a stage's key is the hash of. It is kept beside the output, so that one can see why a key is another. */
export interface KeyParts {
  name: string;
  version: number;
  /** Hash of the code: see code-version.ts. */
  code: string;
  config: unknown;
  /** Hashes of the inputs' contents. */
  inputs: Record<string, string>;
}

export const stageKey = (parts: KeyParts): string => contentHash(parts);
