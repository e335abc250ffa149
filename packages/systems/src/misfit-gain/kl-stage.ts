import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineStage, misfitGain, type SoftLabels, trainLogisticRegression } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { worldFields, worldOf } from "./linear-stage.js";
import { fitMixture, mixtureProbabilities } from "./mixture-heads.js";
import { columnOf, mean, varianceOf } from "./world.js";

export interface KlRow {
  task: number;
  /** Softmax heads that are mixed; 0: one head by cross-entropy, the statement with forward KL. */
  components: number;
  gain: number;
  misfit: number;
}

/** Classifiers whose true class probabilities are a softmax head on the true representation. */
export const klStage = defineStage({
  name: "misfit-gain/kl",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    ...worldFields,
    tasks: count,
    classes: z.int().min(2),
    weak: z.number(),
    /** Standard deviation of the true logits. */
    logits: z.number().positive(),
    components: z.array(count),
    /** Examples that mixtures learn from. */
    mixed: count,
    iterations: count,
  }),
  inputs: {},
  async run({ config, folder, signal, progress }) {
    const { classes, tasks } = config;
    const { random, world, inputs, width, see, noisy } = worldOf(config);
    const targets = world.targets(tasks * classes, "classes");
    const probabilities = (part: keyof typeof inputs, task: number): SoftLabels => {
      const logits = targets(inputs[part]);
      const rows = logits.length / (tasks * classes);
      const values = new Float32Array(rows * classes);
      for (let row = 0; row < rows; row++) {
        const own = Array.from(
          logits.subarray((row * tasks + task) * classes, (row * tasks + task + 1) * classes),
        );
        const sum = own.reduce((all, value) => all + Math.exp(config.logits * value), 0);
        own.forEach((value, c) => {
          values[row * classes + c] = Math.exp(config.logits * value) / sum;
        });
      }
      return { values, shape: [rows, classes] };
    };
    const scaled = { weak: standardised(config.weak), strong: standardised(0) };
    function standardised(noise: number) {
      const representation = noisy(noise, "weak");
      const seen = see(representation, "transfer");
      const columns = Array.from({ length: width }, (_, j) => columnOf(seen, width, j));
      const [means, deviations] = [columns.map(mean), columns.map((own) => Math.sqrt(varianceOf(own)) || 1)];
      return (part: keyof typeof inputs) =>
        see(representation, part).map((value, i) => (value - means[i % width]) / deviations[i % width]);
    }
    const fit = (features: Float64Array, labels: SoftLabels) =>
      trainLogisticRegression({
        features: Float32Array.from(features),
        shape: [labels.shape[0], width],
        labels,
        classes,
        l2: 0,
        tolerance: 1e-5,
        maxIterations: config.iterations,
      });
    const say = (model: ReturnType<typeof fit>, features: Float64Array) =>
      model.predict(Float32Array.from(features), [features.length / width, width]);
    const rows: KlRow[] = [];
    for (let task = 0; task < tasks; task++) {
      const supervisor = fit(scaled.weak("supervision"), probabilities("supervision", task));
      const labels = say(supervisor, scaled.weak("transfer"));
      const weak = say(supervisor, scaled.weak("test")).values;
      const truth = probabilities("test", task).values;
      const measure = (components: number, student: ArrayLike<number>, loss: "kl" | "reverse kl") => {
        const { gain, misfit } = misfitGain({ weak, student, truth, width: classes, loss });
        rows.push({ task, components, gain: gain.value as number, misfit });
      };
      measure(0, say(fit(scaled.strong("transfer"), labels), scaled.strong("test")).values, "kl");
      const seen = scaled.strong("transfer").subarray(0, config.mixed * width);
      for (const components of config.components) {
        signal.throwIfAborted();
        const heads = fitMixture({ features: seen, columns: width }, labels.values, {
          components,
          classes,
          random: random.stream("mixture", task, components),
          iterations: config.iterations,
        });
        const student = mixtureProbabilities(heads, { features: scaled.strong("test"), columns: width });
        measure(components, student, "reverse kl");
      }
      progress((task + 1) / tasks);
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});
