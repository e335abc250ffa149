import { createRandom, defineStage } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { schema } from "./fields.js";
import { concatenatePairs, confidentPairs, type LabelledPairs, RewardModels, selectPairs } from "./method.js";
import { conditions } from "./rows.js";
import { writeScores } from "./stage-scores.js";
import { type DrawnPairs, PairWorld } from "./world.js";

/** All reward models of one seed and one weak supervisor, and what they say of the test pairs. */
export const rewardsStage = defineStage({
  name: "deception/rewards",
  version: 1,
  code: import.meta.url,
  config: schema.omit({ parts: true, languageModels: true }).extend({
    weak: count,
    /** What to train beside the weak model, the ceiling and the student without conflict. */
    conditions: z.array(z.enum(conditions)),
  }),
  inputs: {},
  async run({ config, folder, signal, progress, shared }) {
    const { seed, sizes, recipe, weak: weakSize, threshold } = config;
    const random = createRandom(seed).stream("deception");
    const world = new PairWorld(config.world, random.stream("world"));
    const models = shared(`reward models ${JSON.stringify(recipe)}`, () => new RewardModels(recipe));
    const draw = (name: string, size: number) => world.draw("harmlessness", size, random.stream(name));
    const supervision = draw("supervision", sizes.supervision);
    const transfer = draw("transfer", sizes.transfer);
    const test = draw("test", sizes.test);
    const helpful = world.draw("helpfulness", sizes.helpfulness, random.stream("helpfulness"));

    let done = 0;
    const total = 5 + 2 * config.conditions.length;
    const train = async (pairs: LabelledPairs, name: string) => {
      const params = await models.train(pairs, random.stream("model", name), signal);
      progress(++done / total, name);
      return params;
    };
    const labelled = (pairs: DrawnPairs, size: number, preference = pairs.truth): LabelledPairs => ({
      ...world.view(pairs, size),
      preference,
    });
    const judged = async (params: Awaited<ReturnType<typeof train>>, pairs: DrawnPairs, size: number) =>
      models.preferences(params, world.view(pairs, size));

    const weak = await train(labelled(supervision, weakSize), `weak ${weakSize}`);
    const weakLabels = await judged(weak, transfer, weakSize);
    const strong = sizes.strong;
    const learn = labelled(transfer, strong, weakLabels);
    const conflict = (pairs: LabelledPairs) => ({ ...pairs, truth: transfer.truth });
    const testView = world.view(test, strong);
    const student = async (pairs: LabelledPairs, name = "student") =>
      models.preferences(await train(pairs, name), testView);

    const scores: Record<string, Float32Array> = {
      truth: test.truth,
      weak: await judged(weak, test, weakSize),
      ceiling: await student(labelled(transfer, strong)),
      noConflict: await student(learn),
    };
    const asked = new Set(config.conditions);
    if (asked.has("explicit")) scores.explicit = await student(conflict(learn));
    if (asked.has("implicit")) {
      scores.implicit = await student(concatenatePairs(learn, labelled(helpful, strong)));
    }
    if (asked.has("other seed")) scores["other seed"] = await student(learn, "student, another seed");
    if (asked.has("no payment")) {
      const free = { ...recipe, payment: 0 };
      const unpaid = shared(`reward models ${JSON.stringify(free)}`, () => new RewardModels(free));
      const params = await unpaid.train(conflict(learn), random.stream("model", "student"), signal);
      scores["no payment"] = await models.preferences(params, testView);
    }
    /** A conflict with other labels than all of the weak model's, and the student without conflict that has the same. */
    const paid = async (name: string, pairs: LabelledPairs) => {
      scores[`${name}: no conflict`] = await student({ ...pairs, truth: undefined });
      scores[`explicit, ${name}`] = await student(pairs);
    };
    for (const [name, filter] of [
      ["confident labels", "confidence"],
      ["right confident labels", "oracle"],
    ] as const) {
      if (!asked.has(`explicit, ${name}`)) continue;
      await paid(name, confidentPairs(conflict(learn), filter, threshold, transfer.truth));
    }
    // A model between the two is labelled with one half of the pairs, and labels the other.
    const middleSize = sizes.weak.filter((size) => size > weakSize).at(-1);
    if (middleSize !== undefined && asked.has("explicit, bootstrapped")) {
      const rows = Array.from(weakLabels.keys());
      const half = Math.floor(rows.length / 2);
      const [a, b] = [rows.slice(0, half), rows.slice(half)];
      const middle = await train(
        selectPairs(labelled(transfer, middleSize, weakLabels), a),
        `middle ${middleSize}`,
      );
      const labels = await judged(middle, transfer, middleSize);
      await paid("bootstrapped", selectPairs(conflict(labelled(transfer, strong, labels)), b));
      // As many pairs, the same ones, labelled by the weak model itself.
      await paid("half", selectPairs(conflict(learn), b));
    }
    await writeScores(folder, scores);
  },
});
