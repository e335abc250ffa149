import { meanInterval, type ResultRow, report, type Study, type StudyResults } from "outgrow";
import { claims, controls } from "./claims.js";
import { gapsSchema, gapsStage, type Row, type WorldName } from "./gaps-stage.js";

export const weakProxies: Study<typeof gapsSchema, Row & ResultRow> = {
  name: "weak-proxies",
  title: "Fairness without the sensitive attribute",
  paper: {
    title: "Weak Proxies are Sufficient and Preferable for Fairness with Missing Sensitive Attributes",
    authors: "Zhu et al.",
    year: 2022,
    url: "https://arxiv.org/abs/2210.03175",
    code: "https://github.com/UCSC-REAL/fair-eval",
  },
  family: "oversight and weak labels",
  summary:
    "The error rates of three weak proxies of a hidden group can be read from their agreement; undoing them brings fairness gaps close to the truth.",
  schema: gapsSchema,
  measures: ["errorBase", "errorGlobal", "errorLocal"],
  conditions: ["part", "world", "size", "model", "penalty", "strength"],
  seeds: 10,
  groups: [],
  items: ["model", "strength"],
  claims,
  controls,
  quick: { training: 400, rows: [600, 900, 1200], rounds: 5, steps: 200 },
  async run(config, { lab, progress, signal }) {
    const stage = progress.begin("gaps");
    const output = await lab.run(
      gapsStage,
      config,
      {},
      { signal, onProgress: (done, detail) => stage.update(done, detail) },
    );
    stage.done();
    return await output.json<Row[]>("rows.json");
  },
  async figures(results) {
    return [await errorsByWorld(results), await mitigation(results)];
  },
  notes: [
    "Names depend on the group alone; three logistic regressions learn the group from names of another population, with another share of the groups. The audited models (a stump, logistic regression, a network of 16, 30 boosted stumps) never see the group.",
    "Where guesses of the group lean towards the model's prediction by 0.1 of probability, one proxy overstates the gap and one error matrix for all rows more than doubles it: worse than no calibration. Where they lean against it, calibration helps. Without the attribute there are signs of it at most (`local` far from `global`), no measure.",
    "With two groups and two classes the calibrated penalty is the uncalibrated one times a number: both trainings have the same frontier of accuracy and gap, and the calibrated one reaches further along it at an equal strength.",
  ],
};

const shown: [WorldName, "small" | "middle" | "large", string][] = [
  ["independent", "small", "independent, fewest rows"],
  ["independent", "middle", "independent"],
  ["independent", "large", "independent, most rows"],
  ["weaker", "middle", "weaker proxies"],
  ["errors follow the prediction", "large", "guesses lean with the prediction"],
  ["errors oppose the prediction", "large", "guesses lean against the prediction"],
  ["shared 0.3", "middle", "30 % of noise shared"],
  ["shared 0.6", "middle", "60 % of noise shared"],
  ["shared 0.9", "middle", "90 % of noise shared"],
  ["near perfect", "middle", "proxies of 95 %"],
];

function errorsByWorld(results: StudyResults<Row>) {
  const rows = shown.flatMap(([world, size, group]) =>
    (["errorBase", "errorSoft", "errorGlobal", "errorLocal"] as const).map((measure) => ({
      group,
      label: measure.slice("error".length).toLowerCase(),
      ...meanInterval(results.values({ part: "gaps", world, size }, measure)),
    })),
  );
  return report.estimates(
    { measure: "Normalised error of the parity gap", rows },
    {
      name: "errors",
      title: "How far estimates of the gap are from the truth",
      caption:
        "Base: one proxy as if it were the group. Soft: its probabilities. Global, local: calibrated by one error matrix, or one for each prediction. Means over the audited models; intervals cover 95\u00a0%.",
    },
  );
}

function mitigation(results: StudyResults<Row>) {
  const strengths = [
    ...new Set(results.rows.flatMap((row) => (row.part === "penalty" ? [row.strength as number] : []))),
  ];
  const rows = strengths.flatMap((strength) =>
    (["calibrated", "of the proxies"] as const).map((penalty) => ({
      group: `strength ${strength}`,
      label: penalty === "calibrated" ? "calibrated penalty" : "proxies' penalty",
      ...meanInterval(results.values({ part: "penalty", penalty, strength }, "trueParity")),
    })),
  );
  return report.estimates(
    { measure: "True parity gap", rows },
    { name: "mitigation", title: "The true gap of models that pay for an estimated one" },
  );
}
