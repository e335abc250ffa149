import { namedLeaves, Tensor } from "@outgrow/engine";
import { initTransformer, type TransformerParams } from "../../models/transformer.js";
import type { TransformerConfig } from "../../models/transformer-config.js";
import { createRandom } from "../../random.js";

/** A model with weights large enough that its next tokens are far from equally likely, its norms and biases among them. */
export function randomModel(
  config: TransformerConfig,
  seed: number | string = 1,
): { config: TransformerConfig; params: TransformerParams<Tensor> } {
  const random = createRandom(seed);
  const params = initTransformer(config, random);
  for (const [path, { data }] of namedLeaves(params as never, (node) => node instanceof Tensor)) {
    (data as Float32Array).set(random.stream(path).normals(data.length, 0.5));
  }
  return { config, params };
}
