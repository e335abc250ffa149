import type { Array as JaxArray } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  compileRows,
  createTrainer,
  initMlp,
  type MlpParams,
  type Random,
  rewardLoss,
} from "outgrow";
import { WEAK } from "./world.js";

const form = { inputSize: WEAK, hidden: [32], outputSize: 1 };

/** What a weak model sees of pairs of items, each `[pairs, 28]`. */
export interface OrderedPairs {
  chosen: Float32Array;
  rejected: Float32Array;
}

/** Rewards by MLPs of 32, all trained at once by Bradley and Terry's loss; the compiled programs serve every seed. */
export class RewardHeads {
  private trainer?: ReturnType<typeof createHeadTrainer>;
  private scorer?: ReturnType<typeof compileRewards>;

  /** The rewards of items `[n, 28]`, by each model trained on its own pairs. */
  async score(
    sources: readonly OrderedPairs[],
    items: Float32Array,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const starts = sources.map((_, m) => initMlp(form, random.stream("init", m)));
    const ofItems = (values: Float32Array) => new Tensor(values, [values.length / WEAK, WEAK]);
    const columns = sources.map(({ chosen, rejected }) => ({
      chosen: ofItems(chosen),
      rejected: ofItems(rejected),
    }));
    this.trainer ??= createHeadTrainer(starts[0], columns[0]);
    const trained = await (await this.trainer).fitMany(starts, columns, {
      epochs: 10,
      learningRate: 3e-3,
      randoms: sources.map((_, m) => random.stream("order", m)),
      signal,
    });
    const inputs = ofItems(items);
    this.scorer ??= compileRewards(starts[0], inputs);
    const rewards: Float32Array[] = [];
    for (const { params } of trained) {
      rewards.push((await (await this.scorer)(params, { inputs })).data as Float32Array);
    }
    return rewards;
  }

  async dispose(): Promise<void> {
    await (await this.trainer)?.dispose();
    await (await this.scorer)?.dispose();
  }
}

const createHeadTrainer = (params: MlpParams<Tensor>, columns: { chosen: Tensor; rejected: Tensor }) =>
  createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
    name: "reward heads",
    params,
    columns,
    batchSize: 50,
    loss: (traced, { chosen, rejected }) =>
      rewardLoss({}, applyMlp(traced, chosen).sum(-1), applyMlp(traced, rejected).sum(-1)).mean(),
  });

const compileRewards = (params: MlpParams<Tensor>, inputs: Tensor) =>
  compileRows<MlpParams<Tensor>, MlpParams<JaxArray>>(
    "reward heads",
    (traced, batch) => applyMlp(traced, batch.inputs),
    params,
    { inputs },
  );
