import { type Array as JaxArray, nn } from "@jax-js/jax";
import { Tensor } from "@outgrow/engine";
import {
  applyMlp,
  compileRows,
  createTrainer,
  crossEntropy,
  initMlp,
  type MlpParams,
  oneHot,
  type Random,
  type SoftLabels,
} from "outgrow";
import { CLASSES, type ShiftedExamples, WEAK } from "./world.js";

const form = { inputSize: WEAK, hidden: [32], outputSize: CLASSES };

/** MLPs of 32, all trained at once; the compiled programs serve every seed. */
export class WeakModels {
  private trainer?: ReturnType<typeof createWeakTrainer>;
  private scorer?: ReturnType<typeof compileScores>;

  /** The probabilities that each model, trained on its own examples, gives the target's. */
  async label(
    sources: readonly ShiftedExamples[],
    target: ShiftedExamples,
    random: Random,
    signal?: AbortSignal,
  ): Promise<SoftLabels[]> {
    const starts = sources.map((_, m) => initMlp(form, random.stream("init", m)));
    const columns = sources.map(({ weak, labels }) => ({
      inputs: new Tensor(weak, [labels.length, WEAK]),
      labels: new Tensor(oneHot(labels, CLASSES).values, [labels.length, CLASSES]),
    }));
    this.trainer ??= createWeakTrainer(starts[0], columns[0]);
    const trained = await (await this.trainer).fitMany(starts, columns, {
      epochs: 10,
      learningRate: 3e-3,
      randoms: sources.map((_, m) => random.stream("order", m)),
      signal,
    });
    const inputs = new Tensor(target.weak, [target.labels.length, WEAK]);
    this.scorer ??= compileScores(starts[0], inputs);
    const labels: SoftLabels[] = [];
    for (const { params } of trained) {
      const { data } = await (await this.scorer)(params, { inputs });
      labels.push({ values: data as Float32Array, shape: [target.labels.length, CLASSES] });
    }
    return labels;
  }

  async dispose(): Promise<void> {
    await (await this.trainer)?.dispose();
    await (await this.scorer)?.dispose();
  }
}

const createWeakTrainer = (params: MlpParams<Tensor>, columns: { inputs: Tensor; labels: Tensor }) =>
  createTrainer<MlpParams<Tensor>, MlpParams<JaxArray>>({
    name: "weak models",
    params,
    columns,
    batchSize: 50,
    loss: (traced, { inputs, labels }) => crossEntropy(applyMlp(traced, inputs), labels),
  });

const compileScores = (params: MlpParams<Tensor>, inputs: Tensor) =>
  compileRows<MlpParams<Tensor>, MlpParams<JaxArray>>(
    "weak models",
    (traced, batch) => nn.softmax(applyMlp(traced, batch.inputs), -1),
    params,
    { inputs },
  );
