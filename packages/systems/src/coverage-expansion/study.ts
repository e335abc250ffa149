import type { ExperimentContext, StageOutput, Study } from "outgrow";
import { z } from "zod";
import { distinct } from "../w2sg/fields.js";
import { claims, controls } from "./claims.js";
import { figures } from "./figures.js";
import { coverageStage, parts, type Row, worldFields } from "./stage.js";

/** Ablations run with the students that they are compared with. */
const studyParts = ["students", "sweep"] as const;

const schema = z.strictObject({
  ...worldFields,
  parts: distinct(z.enum(studyParts), "part").default([...studyParts]),
});
type Config = z.output<typeof schema>;

async function run({ parts: wanted, ...world }: Config, { lab, progress, signal }: ExperimentContext) {
  const outputs: StageOutput[] = [];
  for (const part of parts.filter((each) => wanted.includes(each === "ablations" ? "students" : each))) {
    const stage = progress.begin(part);
    const onProgress = (done: number, detail?: string) => stage.update(done, detail);
    outputs.push(await lab.run(coverageStage, { ...world, part }, {}, { signal, onProgress }));
    stage.done();
  }
  const rows: Row[] = [];
  for (const output of outputs) rows.push(...(await output.json<Row[]>("rows.json")));
  return rows;
}

export const coverageExpansion: Study<typeof schema, Row> = {
  name: "coverage-expansion",
  title: "Expansion tells where weak labels are corrected",
  paper: {
    title: "Theoretical Analysis of Weak-to-Strong Generalization",
    authors: "Lang, Sontag, Vijayaraghavan",
    year: 2024,
    url: "https://arxiv.org/abs/2405.16043",
  },
  family: "theory and robustness",
  summary:
    "A student trained on covered, partly wrong weak labels alone beats them where they are, and is good where there are none; expansion measured on finite data bounds its errors.",
  schema,
  measures: ["covered", "uncovered", "badToGood", "correction", "coverageBound"],
  conditions: ["part", "world", "representation", "labels", "class"],
  parts: studyParts,
  seeds: 10,
  groups: [],
  items: ["world", "class"],
  claims,
  controls,
  quick: {
    sizes: { unlabelled: 300, train: 2000, test: 1500, nearby: 2 },
    dimensions: [8, 24],
    training: { steps: 60, repeats: 2 },
    sweep: {
      misleading: [
        [0.012, 0.012],
        [0.04, 0.012],
      ],
    },
    ablations: { dimensions: [4], weightDecay: [1], coverage: [2], smallest: [0.2] },
  },
  run,
  figures,
  notes: [
    "Reviews of 20 words from 60 concepts of ten synonyms, of two sentiments and four topics; the rule compares two cue words and says nothing of eight reviews in nine. The representation is learned from unlabelled reviews: principal components of word counts (LSA).",
    "A review's neighbours are other wordings by the world itself, which knows its sentiment and topics. The paper asked a language model.",
    "A set of examples on which a student is robust reaches a neighbour only if the student says the same of both. That is how sets enter the measured expansion; the term for fragile reviews is left out of the bounds as in the paper's tables, and they are computed with it too.",
    "Worlds of one seed share reviews and chances: only cue words differ.",
    "All settings are the specification's, none was chosen by results. Sets below 10 % of their side are not counted (q = 0.1).",
  ],
};
