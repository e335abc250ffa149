import { afterAll, describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { fullPrefixSampler } from "../testing/full-prefix-sampler.js";
import { letterModel, tinyModel } from "../testing/tiny-model.js";
import { type Distillation, distil } from "./distil.js";

const student = letterModel("abcdefgh", { contextLength: 16 });
/** Of another form: wider, and it writes fewer letters. */
const teacher = letterModel("abc", { contextLength: 16, width: 24 }, 2);
const sampler = fullPrefixSampler(student);
const teacherSampler = fullPrefixSampler(teacher);
afterAll(async () => {
  await sampler.dispose();
  await teacherSampler.dispose();
});
const options = () => ({ sampler, teacherSampler, random: createRandom(1) });
const prompts = ["a:", "b:", "cc:", "d:"].map((prompt) => ({ prompt }));
const config: Partial<Distillation> = { steps: 15, batchSize: 4, maxTokens: 4, learningRate: 2e-2 };

describe("distil", () => {
  test.each<[string, Partial<Distillation>]>([
    ["reverse, on-policy", {}],
    ["forward, on-policy, the teacher's likeliest tokens apart", { loss: { name: "forward" }, topK: 8 }],
    ["Jensen-Shannon, half on-policy", { loss: { name: "jensen-shannon" }, onPolicy: 0.5 }],
  ])("%s: the divergence from the teacher falls to a tenth", async (_, changed) => {
    const { steps, model } = await distil(student, teacher, prompts, { ...config, ...changed }, options());
    expect(steps).toHaveLength(15);
    // Four tokens alike against nine: log 9 / 4 forward.
    expect(steps[0].forward).toBeCloseTo(Math.log(9 / 4), 1);
    expect(steps[0].entropy).toBeCloseTo(Math.log(9), 1);
    expect(steps[14].forward).toBeLessThan(0.1 * steps[0].forward);
    expect(steps[14].reverse).toBeLessThan(0.1 * steps[0].reverse);
    expect(model.params).not.toEqual(student.params);
  });

  test("on the answers of the teacher a student comes nearer to it", async () => {
    const many = Array.from({ length: 32 }, (_, i) => ({ prompt: `${"abcdefgh"[i % 8]}${i}:` }));
    const run = { ...config, loss: { name: "sequence" }, onPolicy: 0, batchSize: 16 } as const;
    const { steps } = await distil(student, teacher, many, { ...run, learningRate: 1e-2 }, options());
    expect(steps[0].loss).toBeCloseTo(Math.log(9), 1);
    expect(steps[14].loss).toBeLessThan(1.8);
    expect(steps[14].reverse).toBeLessThan(0.7 * steps[0].reverse);
  });

  test("a student that is its teacher has nothing to learn", async () => {
    const few = { ...config, steps: 1, learningRate: 1e-3 };
    const { steps } = await distil(student, student, prompts, few, options());
    expect(steps[0].loss).toBeCloseTo(0, 6);
    expect(steps[0].reverse).toBeCloseTo(0, 6);
  });

  test("answers that are given are learnt from as they are, and nothing is drawn", async () => {
    const given = prompts.map(({ prompt }) => ({ prompt, answer: "hh" }));
    const run = { ...config, loss: { name: "sequence" }, onPolicy: 0, steps: 10 } as const;
    const { steps } = await distil(student, teacher, given, run, { random: createRandom(1) });
    expect(steps[0].loss).toBeCloseTo(Math.log(9), 1);
    expect(steps[9].loss).toBeLessThan(1);
  });

  test("what does not fit is refused", async () => {
    const run = (changed: Partial<Distillation>, given = prompts, other = teacher) =>
      distil(student, other, given, { ...config, ...changed }, { random: createRandom(1) });
    await expect(run({})).rejects.toThrow("the option sampler is missing");
    await expect(run({ onPolicy: 0 })).rejects.toThrow("the option teacherSampler is missing");
    await expect(run({ loss: { name: "sequence" } })).rejects.toThrow("what it writes already");
    await expect(run({ onPolicy: 2 })).rejects.toThrow("the share onPolicy of the distillation is 2");
    await expect(run({}, [{ prompt: "a" }, { prompt: "" }])).rejects.toThrow(
      "1 with an empty prompt (rows 1,",
    );
    await expect(run({}, prompts, tinyModel({ vocabularySize: 300 }))).rejects.toThrow(
      "the teacher has a vocabulary of 300 tokens",
    );
  });
});
