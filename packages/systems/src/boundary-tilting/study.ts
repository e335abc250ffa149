import { meanInterval, report, type StageOutput, type Study } from "outgrow";
import { claims, controls, type Results } from "./claims.js";
import { parts, schema } from "./fields.js";
import { linearStage } from "./linear-stage.js";
import { networkStage } from "./network-stage.js";
import type { Row } from "./rows.js";

export const boundaryTilting: Study<typeof schema, Row> = {
  name: "boundary-tilting",
  title: "Boundary tilting",
  paper: {
    title: "A Boundary Tilting Persepective on the Phenomenon of Adversarial Examples",
    authors: "Tanay and Griffin",
    year: 2016,
    url: "https://arxiv.org/abs/1608.07690",
  },
  family: "theory and robustness",
  summary:
    "How strong a linear classifier's adversarial examples are is its angle to the nearest-centroid direction, which regularisation sets, not linearity.",
  schema,
  measures: ["angle", "strength", "testError", "linearised"],
  conditions: ["part", "pair", "classifier", "flips", "power", "size", "decay"],
  seeds: 10,
  groups: [],
  items: ["part", "pair", "classifier", "flips", "power", "size", "decay"],
  parts,
  claims,
  controls,
  quick: {
    pairs: ["3-7"],
    size: 14,
    train: 120,
    validation: 200,
    test: 300,
    powers: [-4, -3, -2, -1, 0, 1],
    dimension: { sizes: [14, 28] },
    network: { epochs: 5, decays: [0, 1] },
  },
  async run({ network, ...config }, { lab, progress, signal }) {
    const stage = progress.begin("classifiers");
    const watched = { signal, onProgress: (fraction: number) => stage.update(fraction) };
    const outputs: StageOutput[] = [];
    const linear = config.parts.filter((part) => part !== "network");
    if (linear.length > 0) {
      outputs.push(await lab.run(linearStage, { ...config, parts: linear }, {}, watched));
    }
    if (config.parts.includes("network") && config.seed % network.every === 0) {
      const { seed, pairs, size, train, validation, test, flips } = config;
      const given = { seed, pairs, size, train, validation, test, flips, network: { ...network, every: 1 } };
      outputs.push(await lab.run(networkStage, given, {}, watched));
    }
    stage.done();
    return (await Promise.all(outputs.map((output) => output.json<Row[]>("rows.json")))).flat();
  },
  figures,
  notes: [
    "Glyphs are drawn by strokes, pixels from about 0 to 1; lambda depends on that scale. Angles are against the centroids of the labels that were learnt, wrong ones among them.",
    "Of levels with equal validation error the most regularised is taken as the best.",
    "The bias is regularised with the weights, about the mean of the images.",
    "Small lambda: below about 1e-3 the solution is that of the hard margin, and the curve is flat.",
    "The angle of linear discriminant analysis on the 3000 held-out images is the deviation that the best linear rule itself needs (after Tanay and Griffin), overstated by what 3000 images of 784 pixels leave unknown.",
    "Weight decay of the network is decoupled and multiplied by the learning rate in each step: in its 400 steps, decays of 0.1 and less change next to nothing, so that the range goes up to 10. Networks run for every second seed (network.every).",
  ],
};

async function figures(results: Results): Promise<report.Figure[]> {
  const has = (part: string) => results.rows.some((row) => row.part === part);
  const all: Promise<report.Figure>[] = [];
  if (has("sweep")) {
    const powers = [...new Set(results.rows.flatMap(({ power }) => (power === null ? [] : [power])))].sort(
      (a, b) => a - b,
    );
    const shown = powers.filter((power) => Number.isInteger(power));
    for (const [measure, label, title] of [
      ["angle", "Angle to the nearest-centroid direction, degrees", "Less regularisation tilts the boundary"],
      ["testError", "Test error", "Test error is smallest in between"],
    ] as const) {
      const rows = [true, false].flatMap((flips) =>
        shown.map((power) => ({
          group: flips ? "Some training labels wrong" : "All training labels right",
          label: `lambda ${Number((10 ** power).toPrecision(3))}`,
          ...meanInterval(results.values({ part: "sweep", classifier: "svm", flips, power }, measure)),
        })),
      );
      const caption = `SVMs by level of regularisation, over all pairs of glyphs.${measure === "angle" ? " Adversarial examples are 1 / cos(angle) times as strong as the nearest-centroid classifier's." : ""} Intervals cover 95\u00a0%.`;
      all.push(report.estimates({ measure: label, rows }, { name: `sweep-${measure}`, title, caption }));
    }
  }
  const rows = [
    ...(has("sweep")
      ? ["nearest centroid", "lda of held-out images", "logistic regression", "svm, lambda 1000"]
      : []
    )
      .flatMap((classifier) => [true, false].map((flips) => ({ classifier, flips })))
      .map(({ classifier, flips }) => ({
        group: `Glyphs, ${flips ? "wrong labels" : "right labels"}`,
        label: classifier,
        ...meanInterval(results.values({ part: "sweep", classifier, flips }, "angle")),
      })),
    ...(has("dimension")
      ? [...new Set(results.rows.filter(({ part }) => part === "dimension").map(({ size }) => size))].map(
          (size) => ({
            group: "Glyphs at several sizes, SVM",
            label: `${size} × ${size}`,
            ...meanInterval(results.values({ part: "dimension", size }, "angle")),
          }),
        )
      : []),
    ...(has("halves")
      ? [
          {
            group: "Two halves",
            label: "SVM at hard margin",
            ...meanInterval(results.values({ part: "halves" }, "angle")),
          },
        ]
      : []),
  ].sort((a, b) => a.group.localeCompare(b.group));
  if (rows.length > 0) {
    all.push(
      report.estimates(
        { measure: "Angle to the nearest-centroid direction, degrees", rows },
        {
          name: "angles",
          title: "Angles of other classifiers and images",
          caption: "0: no classifier is more robust. Intervals cover 95\u00a0%.",
        },
      ),
    );
  }
  if (has("network")) {
    const decays = [...new Set(results.rows.flatMap(({ decay }) => (decay === null ? [] : [decay])))];
    all.push(
      report.estimates(
        {
          measure: "Mean distance to the boundary",
          rows: (["linearised", "boundary"] as const).flatMap((measure) =>
            decays.map((decay) => ({
              group: measure === "linearised" ? "Linearised" : "By bisection along the gradient",
              label: `decay ${decay}`,
              ...meanInterval(results.values({ part: "network", decay }, measure)),
            })),
          ),
        },
        {
          name: "network",
          title: "How far test images are from a network's boundary",
          caption:
            "Images that are classified correctly; pixels are about 0 to 1. Intervals cover 95\u00a0%.",
        },
      ),
    );
  }
  return Promise.all(all);
}
