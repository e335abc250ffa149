// The base model of arith-chain: how long its pretraining takes, and how many held-out problems it solves by greedy decoding.
//
//   npm run bench:arith-base [-- --seeds 3] [-- --first-seed 0] [-- --problems 200] [-- --json]
//
// The model is a stage of the lab: where OUTGROW_HOME has it already, only the problems are solved.
import { parseArgs } from "node:util";
import { arithBase } from "@outgrow/systems";
import { createGenerator, createRandom, Lab } from "outgrow";
import { report } from "./harness.mjs";

const { values: options } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    "first-seed": { type: "string", default: "0" },
    problems: { type: "string", default: "200" },
    json: { type: "boolean" },
  },
});
const first = Number(options["first-seed"]);
const seeds = Array.from({ length: Number(options.seeds) }, (_, i) => first + i);
const MOST_STEPS = 4;
const stages = [];
const lab = new Lab({ onStage: (event) => stages.push(event), checkpointSeconds: 5 });

/** Shares of problems solved, by their number of steps. */
async function solved(model, seed) {
  const world = arithBase.arithBaseWorld({ seed });
  const generator = createGenerator(model, { capacity: 32 });
  const shares = [];
  for (let steps = 1; steps <= MOST_STEPS; steps++) {
    const random = createRandom(seed).stream("bench/arith-base", steps);
    const problems = world.problems("test", Number(options.problems), random, { steps });
    const texts = await Promise.all(
      problems.map(({ question }) =>
        generator.generate({
          prompt: model.tokenizer.encode(`${question}\n`),
          temperature: 0,
          maxTokens: 60,
        }),
      ),
    );
    const right = problems.filter((problem, i) => world.verify(problem, texts[i].text).correct);
    shares.push(right.length / problems.length);
  }
  await generator.dispose();
  return shares;
}

const figures = [];
for (const seed of seeds) {
  const model = await arithBase.arithBaseModel(lab, { seed });
  const { seconds, cached } = stages[stages.length - 1];
  if (!cached) figures.push({ name: `pretraining, seed ${seed}`, unit: "s", ours: seconds, target: "< 180" });
  const [one, ...more] = (await solved(model, seed)).map((share) => 100 * share);
  figures.push({
    name: `problems of one step solved, seed ${seed}`,
    unit: "%",
    ours: one,
    target: ">= 60",
    note: `of 2, 3 and 4 steps: ${more.map((share) => share.toFixed(0)).join(", ")} %; greedy, held-out stories`,
  });
}
await lab.close();
report(figures);
