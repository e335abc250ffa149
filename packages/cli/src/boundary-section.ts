import type { boundaryTilting } from "@outgrow/systems";
import { report } from "outgrow";

export type JudgedBoundary = boundaryTilting.BoundaryDiagnostics & { name: string };

/** Margins and angles for people. */
export async function boundarySection(
  judged: readonly JudgedBoundary[],
  { classes, space, labelled }: { classes: readonly string[]; space: string; labelled: string },
): Promise<report.ReportSection> {
  const right = { align: "right" as const };
  const margined = [...judged, { name: "nearest mean", ...judged[0].nearestMean, withoutBoundary: 0 }];
  const margins: report.ReportTable = {
    title: "How near adversarial examples are",
    caption: `Distance to the boundary along the gradient, of ${judged[0].points} test points that are classified rightly, divided by the distance between the means of two classes (${judged[0].centroidDistance.toPrecision(3)}). The rule of the nearest mean is the most robust linear one.`,
    columns: [
      { name: "of" },
      { name: "right", ...right },
      { name: "mean", ...right },
      ...["5 %", "25 %", "50 %", "75 %", "95 %"].map((name) => ({ name, ...right })),
      { name: "no boundary found", ...right },
    ],
    rows: margined.map(({ name, right: share, relativeMargin, withoutBoundary }) => [
      name,
      `${(100 * share).toFixed(1)} %`,
      relativeMargin?.mean.toFixed(3) ?? null,
      ...(relativeMargin?.quantiles ?? [null, null, null, null, null]).map(
        (value) => value?.toFixed(3) ?? null,
      ),
      withoutBoundary,
    ]),
  };
  const tilts: report.ReportTable = {
    title: "How far the boundary is tilted",
    caption:
      "Angle between the gradient at a point and the line through the means of two classes, in degrees; and how much stronger than the nearest mean's the adversarial examples of a linear rule of the mean angle are, 1 / cos.",
    columns: [
      { name: "of" },
      { name: "classes" },
      { name: "mean angle", ...right },
      { name: "5 % to 95 % of points", ...right },
      { name: "strength", ...right },
    ],
    rows: judged.flatMap(({ name, pairs }) =>
      pairs.map(({ classes: [i, j], angle, strength }) => [
        name,
        `${classes[i]}, ${classes[j]}`,
        `${angle.mean.toFixed(0)}°`,
        `${angle.quantiles[0].toFixed(0)}° to ${angle.quantiles[4].toFixed(0)}°`,
        strength === null ? "without bound" : strength.toFixed(2),
      ]),
    ),
  };
  const shown = margined.filter(({ relativeMargin }) => relativeMargin !== null);
  const figures =
    shown.length === 0
      ? []
      : [
          await report.estimates(
            {
              measure: "Distance to the boundary / distance between classes",
              rows: shown.map(({ name, relativeMargin }) => {
                const { quantiles } = relativeMargin as NonNullable<typeof relativeMargin>;
                return { group: "", label: name, mean: quantiles[2], low: quantiles[0], high: quantiles[4] };
              }),
            },
            {
              name: "margins",
              title: "How near adversarial examples are",
              caption: "Median over points, and the range of nine tenths of them.",
            },
          ),
        ];
  return {
    tables: [margins, tilts],
    figures,
    notes: [
      `Boundary (Tanay and Griffin 2016): distances are Euclidean, in ${space}; classes by ${labelled}. A large angle alone does not show overfitting: where features vary together, the best linear rule itself is tilted.`,
    ],
  };
}
