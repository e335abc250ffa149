import type { ExperimentContext, Study } from "outgrow";
import { claims, controls } from "./claims.js";
import { type Arm, arms, type Config, parts, schema } from "./fields.js";
import { figures } from "./figures.js";
import type { Row } from "./rows.js";
import { abundantStage, type Outcome, type ScarceOutcome, scarceStage, summaryOf } from "./stages.js";
import { kappaOf } from "./world.js";

const noCoefficients = { easy: null, hardStraight: null, hardTurned: null, memorised: null };

async function run(config: Config, { lab, progress, signal }: ExperimentContext): Promise<Row[]> {
  const { seed, shares, startScale, weak, test, validation, scarce, abundant, bridge, ablations } = config;
  const shared = { seed, shares, startScale, weak, test, validation };
  const chosen = seed % 5 < bridge.seedsOfFive;
  const wants = (part: (typeof parts)[number]) => config.parts.includes(part);
  const pending: (() => Promise<Row[]>)[] = [];

  if (wants("scarce")) {
    const stage = progress.begin("scarce");
    const how = { signal, onProgress: (done: number, detail?: string) => stage.update(done, detail) };
    const output = await lab.run(scarceStage, { ...shared, scarce }, {}, how);
    stage.done();
    pending.push(async () =>
      (await output.json<ScarceOutcome[]>("outcomes.json")).map(
        ({ noise, samples, kappa, labels, ...outcome }) => ({
          part: "scarce",
          arm: labels,
          noise,
          samples,
          kappa,
          bothShare: shares.both,
          hardShare: shares.hard,
          ...summaryOf(outcome, shares.hard * test),
          ...noCoefficients,
        }),
      ),
    );
  }

  const { samples, noise, size } = abundant;
  const student = async (
    part: Row["part"],
    arm: Arm,
    given: { bothShare?: number; steps?: number; filters?: number; batchSize?: number; until?: number } = {},
  ) => {
    const { bothShare = shares.both, batchSize = null, until } = given;
    const { steps = abundant.steps, filters = abundant.filters } = given;
    const own = { ...shares, hard: shares.hard + shares.both - bothShare, both: bothShare };
    const stage = progress.begin(`${part}: ${arm}, ${bothShare} with both signals`);
    const settings = { ...shared, shares: own, abundant: { ...abundant, steps, filters }, arm, batchSize };
    const output = await lab.run(abundantStage, settings, {}, { signal });
    stage.done();
    const about = {
      part,
      arm,
      noise,
      samples,
      kappa: kappaOf(samples, bothShare, 1, noise, size),
      bothShare,
      hardShare: own.hard,
    };
    pending.push(async () => {
      const outcome = await output.json<Outcome>("outcome.json");
      const summary = summaryOf(outcome, own.hard * test, until);
      return [
        { ...about, ...summary, ...noCoefficients },
        ...(part === "abundant" ? curve(outcome, { ...about, part: "curve" }) : []),
      ];
    });
  };
  const inBridge = wants("bridge") && chosen;
  if (wants("abundant")) await student("abundant", "weak labels");
  if (inBridge) await student("bridge", "weak labels", { until: bridge.steps });
  for (const bothShare of inBridge ? bridge.both : []) {
    await student("bridge", "weak labels", { bothShare, steps: bridge.steps });
  }
  if (wants("ablations") && chosen) {
    const { steps, filters, batchSize, both } = ablations;
    for (const arm of arms) {
      const settings =
        arm === "weak labels"
          ? { until: steps }
          : {
              steps,
              ...(arm === "more filters" && { filters }),
              ...(arm === "mini-batches" && { batchSize }),
              ...(arm === "more bridges" && { bothShare: both }),
            };
      await student("ablations", arm, settings);
    }
  }
  return (await Promise.all(pending.map((read) => read()))).flat();
}

type About = Pick<Row, "part" | "arm" | "noise" | "samples" | "kappa" | "bothShare" | "hardShare">;

function curve({ weak, linear, points }: Outcome, about: About): Row[] {
  return points.map(({ step, fit, corrected, test, easy, hardStraight, hardTurned, memorised, missed }) => ({
    ...about,
    steps: step,
    weak: weak.all,
    weakHard: weak.hard,
    weakDeviation: null,
    linear: linear.all,
    linearDeviation: null,
    final: test.all,
    finalEasy: test.easy,
    finalHard: test.hard,
    finalBoth: test.both,
    fit,
    corrected,
    missed,
    best: null,
    bestHard: null,
    bestStep: null,
    stopped: null,
    stoppedStep: null,
    easy,
    hardStraight,
    hardTurned,
    memorised,
  }));
}

export const linearToNonlinear: Study<typeof schema, Row> = {
  name: "linear-to-nonlinear",
  title: "A ReLU network learns hard features from a linear teacher",
  paper: {
    title: "From Linear to Nonlinear: Provable Weak-to-Strong Generalization through Feature Learning",
    authors: "Oh, Song, Yun",
    year: 2025,
    url: "https://arxiv.org/abs/2510.24812",
  },
  family: "theory and robustness",
  summary:
    "From labels of a linear CNN a ReLU CNN learns a signal that no linear model can read, through samples that have it beside an easy one.",
  schema,
  measures: ["final", "finalHard", "fit", "best", "corrected"],
  conditions: ["part", "arm", "noise", "samples", "bothShare"],
  seeds: 5,
  groups: [],
  items: ["noise", "samples"],
  parts,
  claims,
  controls,
  quick: {
    test: 400,
    validation: 200,
    weak: { samples: 400 },
    scarce: { size: 100, filters: 4, samples: [25, 50, 100], steps: 100, every: 50 },
    abundant: { size: 50, filters: 16, samples: 400, steps: 200 },
    bridge: { steps: 100 },
    ablations: { steps: 100, filters: 24, batchSize: 64 },
  },
  run,
  figures,
  notes: [
    "Signals lie along the first four axes; noise and starts look the same in every direction, so that this is no loss. Samples with one signal have two noise patches.",
    "The source gives neither sizes nor learning rates: those here were chosen for this design, on a pilot.",
    "The best time is the one with the highest true accuracy on 1,000 validation samples; what is reported is the accuracy on other samples then, so that a best time is no better than others by chance.",
    "Other shares and ablations run for three of five seeds (bridge.seedsOfFive), ceilings of little data up to 200 samples (scarce.ceilingsUpTo).",
    "The theorem's constants are not known. Its bound for harmful overfitting, an error of 0.12 times the share of hard samples, is far below what a weak model has.",
  ],
};
