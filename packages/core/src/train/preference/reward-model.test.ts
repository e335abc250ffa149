import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { tinyModel } from "../testing/tiny-model.js";
import { type RatedPair, scoreTexts, trainRewardModel } from "./reward-model.js";

const model = tinyModel();
const random = createRandom(12);
const letters = (count: number) => Array.from({ length: count }, () => "abcd"[random.integer(4)]).join("");
const quality = (answer: string) => answer.split("a").length;

/** Answers of 2 to 20 letters; that with more letters a is better. */
function pairs(count: number): (RatedPair & { chosen: string; rejected: string })[] {
  const made: (RatedPair & { chosen: string; rejected: string })[] = [];
  while (made.length < count) {
    const [one, other] = [letters(2 + random.integer(19)), letters(2 + random.integer(19))];
    if (quality(one) === quality(other)) continue;
    const [chosen, rejected] = quality(one) > quality(other) ? [one, other] : [other, one];
    made.push({ prompt: `${letters(3)}:`, chosen, rejected });
  }
  return made;
}
const options = () => ({ random: createRandom(1) });
const course = { epochs: 6, batchSize: 16, learningRate: 3e-3 };
const training = pairs(128);
const heldOut = pairs(64);

describe("trainRewardModel", () => {
  test("ranks held-out answers, from a start where all rewards are 0", async () => {
    const { model: reward, steps } = await trainRewardModel(model, training, course, options());
    expect(steps[0].loss).toBeCloseTo(Math.log(2), 6);
    expect(steps[0].margin).toBe(0);
    const chosen = await scoreTexts(
      reward,
      heldOut.map(({ prompt, chosen: answer }) => ({ prompt, answer })),
    );
    const rejected = await scoreTexts(
      reward,
      heldOut.map(({ prompt, rejected: answer }) => ({ prompt, answer })),
    );
    expect(chosen.filter((score, i) => score > rejected[i]).length / 64).toBeGreaterThan(0.85);
    // As many above 0 as below, where the centring holds.
    const all = [...chosen, ...rejected];
    expect(Math.abs(all.reduce((sum, x) => sum + x, 0) / all.length)).toBeLessThan(1);
  });

  test("a text's reward depends on nothing that is scored beside it", async () => {
    const few = { ...course, epochs: 1 };
    const { model: reward } = await trainRewardModel(model, training.slice(0, 32), few, options());
    const texts = heldOut.slice(0, 40).map(({ prompt, chosen: answer }) => ({ prompt, answer }));
    const together = await scoreTexts(reward, texts);
    for (const i of [0, 17, 39]) {
      expect((await scoreTexts(reward, [texts[i]]))[0]).toBeCloseTo(together[i], 5);
    }
  });

  test("margins ask for more", async () => {
    const few = training.slice(0, 16);
    const start = async (margin: number) => {
      const rated = few.map((pair) => ({ ...pair, margin }));
      return (await trainRewardModel(model, rated, { epochs: 1 }, options())).steps[0].loss;
    };
    expect(await start(2)).toBeCloseTo(Math.log(1 + Math.exp(2)), 5);
    expect(await start(0)).toBeCloseTo(Math.log(2), 5);
  });

  test("pairs that nothing can be learnt from are refused or left out", async () => {
    const bad: RatedPair[] = [
      { prompt: "a", chosen: "b", rejected: "b" },
      { prompt: "a", chosen: "b", rejected: "c", margin: Number.NaN },
      { prompt: "a", chosen: "", rejected: "c" },
      { prompt: "a".repeat(20), chosen: "b".repeat(12), rejected: "c" },
      { prompt: "a", chosen: "b", rejected: "c" },
    ];
    const refused = await trainRewardModel(model, bad, {}, options()).catch((error) => error);
    expect(refused.message).toContain("4 of 5 pairs cannot be used");
    expect(refused.message).toContain("1 with a margin of NaN (rows 1,");
    const { dropped, steps } = await trainRewardModel(model, bad, { invalid: "drop" }, options());
    expect(Object.keys(dropped)).toHaveLength(4);
    expect(steps).toHaveLength(1);
    const { model: reward } = await trainRewardModel(model, bad.slice(4), {}, options());
    await expect(scoreTexts(reward, [{ prompt: "a", answer: "" }])).rejects.toThrow("1 of 1 texts");
  });
});
