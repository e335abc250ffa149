import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { defineStage } from "outgrow";
import { z } from "zod";
import { count } from "../w2sg/fields.js";
import { measureTasks, taught, worldFields, worldOf } from "./linear-stage.js";
import { chooseTeacher } from "./method.js";
import { columnOf, mean, representationOf } from "./world.js";

export const rules = [
  "score",
  "smallest weak error",
  "largest misfit",
  "random",
  "average of all labels",
  "oracle",
] as const;
export type Rule = (typeof rules)[number];

export const teachersSchema = z
  .array(z.strictObject({ noise: z.number().min(0), examples: count }))
  .min(2)
  .default([
    { noise: 0.02, examples: 18 },
    { noise: 0.05, examples: 30 },
    { noise: 0.1, examples: 60 },
    { noise: 0.15, examples: 500 },
    { noise: 0.2, examples: 2000 },
    { noise: 0.03, examples: 22 },
  ]);

export interface ChoiceRow {
  task: number;
  rule: Rule;
  /** Whether the rule picks the teacher whose student is the best; for random its chance; null for the average of labels. */
  hit: number | null;
  /** Error of the student by the rule minus that of the best, as a share of the target's variance. */
  regret: number;
}

/** Teachers with mixed flaws, and the rules that choose among them with few true labels. */
export const choiceStage = defineStage({
  name: "misfit-gain/choice",
  version: 1,
  code: import.meta.url,
  config: z.strictObject({
    ...worldFields,
    tasks: count,
    strong: z.number(),
    validation: z.int().min(2),
    teachers: teachersSchema,
    labelNoise: z.number().min(0),
    /** Of teachers with at most `few` examples. */
    ridge: z.number(),
    few: count,
  }),
  inputs: {},
  async run({ config, folder }) {
    const { teachers, validation, tasks } = config;
    const { random, world, inputs, width, see, noisy } = worldOf(config);
    const targets = world.targets(tasks, "choice");
    const strong = noisy(config.strong, "strong of the choice");
    const checked = world.inputs(validation, "validation");
    const [given, known, truth] = [inputs.supervision, checked, inputs.test].map(targets);
    const [seen, fresh, checkedFeatures] = [
      see(strong, "transfer"),
      see(strong, "test"),
      representationOf(strong, checked),
    ];
    const [ceiling] = taught(seen, targets(inputs.transfer), [fresh], { columns: width, outputs: tasks });
    const labels = teachers.map(({ noise, examples }, i) => {
      const own = noisy(noise, `teacher ${i}`);
      const features = see(own, "supervision").subarray(0, examples * width);
      const flaws = random.stream("labels", i).normals(examples * tasks, config.labelNoise);
      const noisyTargets = given.subarray(0, examples * tasks).map((value, at) => value + flaws[at]);
      const others = [see(own, "transfer"), representationOf(own, checked), see(own, "test")];
      const ridge = examples <= config.few ? config.ridge : 0;
      return taught(features, noisyTargets, others, { columns: width, outputs: tasks, ridge });
    });
    labels.push(
      [0, 1, 2].map((part) =>
        labels[0][part].map((_, at) => mean(labels.slice(0, teachers.length).map((own) => own[part][at]))),
      ),
    );
    const errors = labels.map(([transfer, , weak]) => {
      const [student] = taught(seen, transfer, [fresh], { columns: width, outputs: tasks });
      return measureTasks(tasks, { weak, student, ceiling, truth }).map(({ studentError }) => studentError);
    });
    const features = new Float64Array([...seen, ...checkedFeatures]);
    const count = features.length / width;
    const heldOut = Array.from({ length: count }, (_, i) => i >= count - validation);
    const rows: ChoiceRow[] = [];
    for (let task = 0; task < tasks; task++) {
      const { chosen, ranking } = chooseTeacher({
        features,
        shape: [count, width],
        heldOut,
        truth: [...new Array(count - validation).fill(null), ...columnOf(known, tasks, task)],
        candidates: teachers.map((_, i) => ({
          name: String(i),
          labels: [...columnOf(labels[i][0], tasks, task), ...columnOf(labels[i][1], tasks, task)],
        })),
      });
      const least = (value: (row: (typeof ranking)[number]) => number) =>
        Number(ranking.reduce((best, row) => (value(row) < value(best) ? row : best)).name);
      const own = errors.slice(0, teachers.length).map((each) => each[task]);
      const best = own.indexOf(Math.min(...own));
      const picked: Record<Exclude<Rule, "random" | "average of all labels">, number> = {
        score: Number(chosen),
        "smallest weak error": least(({ weakError }) => weakError),
        "largest misfit": least(({ misfit }) => -misfit),
        oracle: best,
      };
      for (const rule of rules) {
        if (rule === "random") {
          rows.push({ task, rule, hit: 1 / own.length, regret: mean(own) - own[best] });
        } else if (rule === "average of all labels") {
          rows.push({ task, rule, hit: null, regret: errors[teachers.length][task] - own[best] });
        } else {
          rows.push({
            task,
            rule,
            hit: Number(picked[rule] === best),
            regret: own[picked[rule]] - own[best],
          });
        }
      }
    }
    await writeFile(join(folder, "rows.json"), JSON.stringify(rows));
  },
});
