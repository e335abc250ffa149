import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import { UserError } from "../errors.js";
import type { Random } from "../random.js";
import type { AdapterParams, BlockParams, ProjectionParams, TransformerParams } from "./transformer.js";

export const loraTargets = ["queries", "keys", "values", "out", "gate", "up", "down"] as const;
export type LoraTarget = (typeof loraTargets)[number];

/** Low-rank adaptation: weights W + (alpha / rank) A B, of which A and B are trained (Hu et al. 2021). */
export interface LoraConfig {
  rank: number;
  alpha: number;
  /** The projections of each block that are adapted; those that a model lacks are left out. */
  targets: readonly LoraTarget[];
}

/** All projections, as Dettmers et al. (2023, section 4) found needed to come level with full finetuning. */
export const loraDefaults: LoraConfig = { rank: 8, alpha: 16, targets: loraTargets };

/** Of each block, the adapters of its projections. */
export interface LoraParams<Leaf = Tensor> {
  blocks: Partial<Record<LoraTarget, AdapterParams<Leaf>>>[];
}

/**
 * A uniform in ±1/sqrt(inputs), B zeros: the adapted model is at first the model itself.
 *
 * @throws UserError where the rank is not a whole number of at least 1, or no target is a projection of the model
 */
export function initLora(
  { blocks }: TransformerParams<Tensor>,
  { rank, targets }: LoraConfig,
  random: Random,
): LoraParams<Tensor> {
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new UserError(`the rank of the adapters is ${rank}, expected a whole number of at least 1`);
  }
  const adapters = blocks.map((block) =>
    Object.fromEntries(
      targets.flatMap((target) => {
        const projection = block[target];
        if (!projection) return [];
        const [inputs, outputs] = projection.weight.shape;
        const bound = 1 / Math.sqrt(inputs);
        const down = Float32Array.from({ length: inputs * rank }, () => bound * (2 * random.uniform() - 1));
        const adapter = {
          down: new Tensor(down, [inputs, rank]),
          up: new Tensor(new Float32Array(rank * outputs), [rank, outputs]),
        };
        return [[target, adapter]];
      }),
    ),
  );
  if (!adapters.some((block) => Object.keys(block).length > 0)) {
    throw new UserError(
      `the model has none of the projections to adapt: ${targets.join(", ") || "none given"}`,
    );
  }
  return { blocks: adapters };
}

/** Inside a traced function: the model with its adapters, whose products stay apart from the weights. */
export function applyLora(
  base: TransformerParams<JaxArray>,
  adapters: LoraParams<JaxArray>,
  config: LoraConfig,
): TransformerParams<JaxArray> {
  return mapAdapted(base, adapters, (projection, { down, up }) => ({
    ...projection,
    adapter: { down, up: up.mul(config.alpha / config.rank) },
  }));
}

/**
 * The model with the adapters added to its weights: as fast as one that was trained whole.
 *
 * @param scale factor on what the adapters add. Default 1; 0 is the model itself
 */
export function mergeLora(
  base: TransformerParams<Tensor>,
  adapters: LoraParams<Tensor>,
  config: LoraConfig,
  scale = 1,
): TransformerParams<Tensor> {
  const factor = (scale * config.alpha) / config.rank;
  return mapAdapted(base, adapters, (projection, { down, up }) => {
    const [inputs, rank] = down.shape;
    const outputs = up.shape[1];
    const weight = Float32Array.from(projection.weight.data);
    for (let i = 0; i < inputs; i++) {
      for (let r = 0; r < rank; r++) {
        const left = factor * down.data[i * rank + r];
        for (let o = 0; o < outputs; o++) weight[i * outputs + o] += left * up.data[r * outputs + o];
      }
    }
    return { ...projection, weight: new Tensor(weight, [inputs, outputs]) };
  });
}

function mapAdapted<Leaf>(
  base: TransformerParams<Leaf>,
  adapters: LoraParams<Leaf>,
  adapt: (projection: ProjectionParams<Leaf>, adapter: AdapterParams<Leaf>) => ProjectionParams<Leaf>,
): TransformerParams<Leaf> {
  const blocks = base.blocks.map((block, layer) => {
    const adapted: BlockParams<Leaf> = { ...block };
    for (const target of loraTargets) {
      const adapter = adapters.blocks[layer][target];
      const projection = block[target];
      if (adapter && projection) adapted[target] = adapt(projection, adapter);
    }
    return adapted;
  });
  return { ...base, blocks };
}
