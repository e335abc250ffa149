import {
  type Disparity,
  type DisparityEstimate,
  disparityEstimates,
  type GapName,
  gapNames,
  type RangedEstimate,
} from "../measure/disparity.js";
import { estimates } from "./figures.js";
import type { ReportSection } from "./html.js";
import type { ReportTable } from "./table.js";

export interface DisparityWords {
  groups: readonly string[];
  classes: readonly string[];
  /** Names of the proxies' columns. */
  proxies: readonly string[];
  /** Rows that were left out because a proxy says nothing of them. */
  leftOut: number;
}

const estimateWords: Record<DisparityEstimate, string> = {
  "first proxy": "first proxy taken for the group",
  calibrated: "errors of the proxies undone",
  "recorded group": "recorded group",
};

/** Disparity between groups for people: gaps, rates by group, the proxies' errors, and what it all assumes. */
export async function disparitySection(disparity: Disparity, words: DisparityWords): Promise<ReportSection> {
  const { classes } = words;
  const gapWords: Record<GapName, string> = {
    parity: "demographic parity",
    odds: "equal odds",
    opportunity: `equal opportunity (${classes[1]})`,
  };
  const known = gapNames.filter((gap) =>
    disparity.predictors.some(({ gaps }) => disparityEstimates.some((estimate) => gaps[estimate]?.[gap])),
  );
  const shown = disparityEstimates.filter((estimate) =>
    disparity.predictors.some(({ gaps }) => gaps[estimate] !== null),
  );
  const lines = [
    ...disparity.predictors.map(({ name, gaps }) => ({ name, gaps })),
    ...(disparity.change ? [{ name: "change: student minus weak labels", gaps: disparity.change }] : []),
  ];
  const gapTable: ReportTable = {
    title: "Disparity between groups",
    caption: `By how much predictions differ between ${words.groups.join(", ")}, in points; 95 % intervals by bootstrap of the rows. Gaps are absolute values: with few rows they come out above 0 where there is none.`,
    columns: [
      { name: "of" },
      { name: "gap" },
      ...shown.map((estimate) => ({ name: estimateWords[estimate], align: "right" as const })),
    ],
    rows: lines.flatMap(({ name, gaps }) =>
      known.map((gap) => [name, gapWords[gap], ...shown.map((estimate) => ranged(gaps[estimate]?.[gap]))]),
    ),
  };
  const figure = await estimates(
    {
      measure: "Gap between the groups",
      rows: disparity.predictors.flatMap(({ name, gaps }) =>
        known.flatMap((gap) =>
          shown.flatMap((estimate) => {
            const range = gaps[estimate]?.[gap];
            if (!range || range.value === null) return [];
            const { value, low, high } = range;
            return [
              { group: `${name}: ${gapWords[gap]}`, label: estimateWords[estimate], mean: value, low, high },
            ];
          }),
        ),
      ),
    },
    { name: "disparity", title: "Disparity between groups, by how the group is known" },
  );
  return {
    tables: [gapTable, rateTable(disparity, words, shown), errorTable(disparity, words)],
    figures: [figure],
    notes: notes(disparity, words),
  };
}

const points = (value: number) => (100 * value).toFixed(1).replace("-", "−");
function ranged(range: RangedEstimate | undefined): string | null {
  if (!range || range.value === null) return null;
  const { value, low, high } = range;
  return low === null || high === null ? points(value) : `${points(value)} [${points(low)}, ${points(high)}]`;
}

const rateTable = (
  { predictors }: Disparity,
  { groups, classes }: DisparityWords,
  shown: readonly DisparityEstimate[],
): ReportTable => ({
  title: "How often each class is predicted, by group",
  columns: [
    { name: "of" },
    { name: "class" },
    { name: "group" },
    ...shown.map((estimate) => ({ name: estimateWords[estimate], align: "right" as const })),
  ],
  rows: predictors.flatMap(({ name, rates }) =>
    // With two classes the other's rates are what is left of 1.
    classes
      .slice(classes.length === 2 ? 1 : 0)
      .flatMap((label) =>
        groups.map((group, a) => [
          name,
          label,
          group,
          ...shown.map((estimate) => percent(rates[estimate]?.[a][classes.indexOf(label)])),
        ]),
      ),
  ),
});

const errorTable = ({ errors, recordedErrors }: Disparity, { groups }: DisparityWords): ReportTable => ({
  title: "How often the proxies are right",
  caption:
    errors.source === "given"
      ? "As it was given."
      : "As their agreement tells, taking them to err alike and on their own.",
  columns: [
    { name: "group" },
    { name: "share of rows", align: "right" },
    { name: "named rightly", align: "right" },
    ...(recordedErrors
      ? [
          { name: "share, recorded", align: "right" as const },
          { name: "named rightly, recorded", align: "right" as const },
        ]
      : []),
  ],
  rows: groups.map((group, a) => [
    group,
    percent(errors.prior[a]),
    percent(errors.transition[a][a]),
    ...(recordedErrors ? [percent(recordedErrors.prior[a]), percent(recordedErrors.transition[a][a])] : []),
  ]),
});

const percent = (share: number | undefined): string | null =>
  share === undefined || !Number.isFinite(share) ? null : `${points(share)} %`;

function notes({ errors, predictors, warnings }: Disparity, { proxies, leftOut }: DisparityWords): string[] {
  const isGiven = errors.source === "given";
  const each = proxies.length > 1 ? ", and alike for all proxies" : "";
  const local = predictors.flatMap(({ name, local: own }) =>
    own ? [`${points(own.parity)} for the ${name}`] : [],
  );
  return [
    isGiven
      ? `Disparity from ${proxies.join(", ")} rests on the rates of errors that were given: they must be right for these rows${each}, and given the group an error must not depend on the prediction or the truth. Intervals take the rates as exact.`
      : `Disparity from ${proxies.join(", ")} rests on this: given the group, the proxies err independently of each other, of the prediction and of the truth, and alike; each is right more often than not (Zhu et al. 2022). Proxies made from what the predictors read break it, and then the calibrated gap can be further off than that of one proxy. No number measures this.`,
    ...(local.length > 0
      ? [
          `With an error matrix for each prediction the gap in demographic parity would be ${local.join(", ")} points. That estimate is rough: where proxies err independently it is still off by a fifth with 20,000 rows, and by more with fewer. Only one that is several times the calibrated gap, or a small part of it, hints at proxies that lean towards the prediction, and nearness proves nothing.`,
        ]
      : []),
    ...(leftOut > 0 ? [`${leftOut} rows of which a proxy says nothing are left out of the disparity.`] : []),
    ...warnings,
  ];
}
