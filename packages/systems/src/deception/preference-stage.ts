import { createRandom, defineStage, initTransformer, type Random, transformerConfig } from "outgrow";
import { z } from "zod";
import { schema } from "./fields.js";
import {
  type LabelledReplies,
  marginProbabilities,
  type PreferenceModel,
  PreferenceModels,
  type PreferenceRecipe,
  preferenceDefaults,
  preferredFirst,
} from "./preferences.js";
import { ReplyWorld } from "./reply-world.js";
import { writeScores } from "./stage-scores.js";

/**
 * What a margin is multiplied with before it becomes a confidence: DPO's own beta; SimPO's margins are taken as they are, as in
 * the released filter. (That of DPO divides log-probabilities of whole texts by 50.)
 */
const confidenceScale = { dpo: preferenceDefaults.dpo.loss.beta, simpo: 1 };

/** All language models of one seed and one loss, and what they say of the test pairs. */
export const preferencesStage = defineStage({
  name: "deception/preferences",
  version: 1,
  code: import.meta.url,
  config: schema
    .pick({ seed: true, threshold: true, languageModels: true })
    .extend({ track: z.enum(["dpo", "simpo"]) }),
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const { seed, track, threshold, languageModels: given } = config;
    const { learningRate, finetuningRate, batchSize, payment } = given;
    const random = createRandom(seed).stream("deception", "replies");
    const world = new ReplyWorld(given.world, random.stream("world"));
    const { vocabularySize } = world;
    const form = transformerConfig("llama", {
      vocabularySize,
      contextLength: given.world.length,
      width: given.width,
      layers: given.layers,
      heads: given.heads,
    });
    const recipe = { ...preferenceDefaults[track], learningRate, finetuningRate, batchSize, payment };
    const models = (conflict: PreferenceRecipe["conflict"] = "reverse") => {
      const own = { ...recipe, conflict };
      return shared(`deception ${JSON.stringify([form, own])}`, () => new PreferenceModels(form, own));
    };
    const draw = (name: string, count: number) => world.draw("harmlessness", count, random.stream(name));
    const supervision = draw("supervision", given.supervision);
    const transfer = draw("transfer", given.transfer);
    const test = draw("test", given.test);
    const helpful = world.draw("helpfulness", given.helpfulness, random.stream("helpfulness"));

    let done = 0;
    const advance = (name: string) => progress(++done / 11, name);
    const start = (name: string) => initTransformer(form, random.stream("init", name));
    const course = (name: string): Random => random.stream("model", name);
    const train = async (labelled: LabelledReplies, name = "student") => {
      const model = await models().train(start(name), labelled, course(name), signal);
      advance(name);
      return model;
    };
    const probabilities = (margins: Float32Array) => marginProbabilities(margins, confidenceScale[track]);
    const judged = async (model: PreferenceModel) => probabilities(await models().margins(model, test.pairs));

    const read = (pairs: typeof test.pairs) => world.read(pairs, given.weak);
    const weak = await train({ pairs: read(supervision.pairs), preference: supervision.truth }, "weak");
    const weakMargins = await models().margins(weak, read(transfer.pairs));
    const labels = preferredFirst(weakMargins);
    const learn: LabelledReplies = { pairs: transfer.pairs, preference: labels };
    const both: LabelledReplies = {
      pairs: [...transfer.pairs, ...helpful.pairs],
      preference: Float32Array.of(...labels, ...helpful.truth),
    };

    const noConflict = await train(learn);
    // They learn from the same replies, so that they are the same model until preferences are learnt.
    const paid = async (conflict: PreferenceRecipe["conflict"], own = payment) => {
      const { reference } = noConflict;
      const labelled = { ...learn, truth: transfer.truth, payment: own };
      const params = await models(conflict).prefer(reference, labelled, course("student"), signal);
      advance("student with conflict");
      return judged({ reference, params });
    };
    const scores: Record<string, Float32Array> = {
      truth: test.truth,
      weak: probabilities(await models().margins(weak, read(test.pairs))),
      ceiling: await judged(await train({ pairs: transfer.pairs, preference: transfer.truth })),
      noConflict: await judged(noConflict),
      explicit: await paid("reverse"),
      "explicit, sft": await paid("sft"),
      implicit: await judged(await train(both)),
      "other seed": await judged(await train(learn, "student, another seed")),
      "no payment": await paid("reverse", 0),
    };
    const confidences = probabilities(weakMargins);
    const rows = Int32Array.from(confidences.keys()).filter(
      (i) => Math.max(confidences[i], 1 - confidences[i]) >= threshold,
    );
    // Where the weak model is sure of nothing there is nobody to train.
    if (rows.length > 0) {
      scores["confident labels: no conflict"] = await judged(await train({ ...learn, rows }));
      scores["explicit, confident labels"] = await judged(
        await train({ ...learn, truth: transfer.truth, rows }),
      );
    }
    await writeScores(folder, scores);
  },
});
