import type { Array as JaxArray } from "@jax-js/jax";
import type { Tensor } from "@outgrow/engine";

/** Parameters: a tree of plain objects and lists with tensors (outside a program) or arrays (inside one) as leaves. */
export type Params<Leaf = Tensor> = {
  readonly [name: string]: Leaf | Params<Leaf> | readonly Params<Leaf>[];
};

/** Parameters inside a traced function. */
export type TracedParams = Params<JaxArray>;
