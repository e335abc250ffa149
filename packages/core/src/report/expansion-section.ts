import type { ClassExpansion, MeasuredExpansion } from "../measure/expansion-audit.js";
import type { Measured } from "../measure/measured.js";
import type { ReportSection } from "./html.js";
import type { ReportTable } from "./table.js";

/** Expansion and its bounds for people. `source` says who is whose neighbour. */
export function expansionSection(
  expansions: readonly ClassExpansion[],
  { classes, source }: { classes: readonly string[]; source: string },
): ReportSection {
  const hasUncovered = expansions.some(({ uncovered }) => uncovered > 0);
  const correction: ReportTable = {
    title: "Does the student correct weak labels? What expansion foretells",
    caption: `By class, of rows with a weak label and truth. Neighbours: ${source}.`,
    columns: columns([
      "rows",
      "wrong weak labels",
      "student differs",
      "expansion",
      "bound",
      "bound, fragile rows",
      "error",
      "correction",
    ]),
    rows: expansions.map((each) => [
      classes[each.class],
      each.covered,
      percent(each.weakError),
      percent(each.disagreement),
      expansion(each.correction),
      percent(each.correctionBound.plain),
      percent(each.correctionBound.withFragile),
      percent(each.coveredError),
      outcome(each.isCorrectionForetold, each.coveredError, each.weakError.value),
    ]),
  };
  const coverage: ReportTable = {
    title: "Is the student right where there is no weak label?",
    caption:
      "By class, of rows with truth and without a weak label. Foretold is an error below that of guessing.",
    columns: columns([
      "rows",
      "expansion to right labels",
      "to wrong labels",
      "bound",
      "bound, fragile rows",
      "error",
      "coverage",
    ]),
    rows: expansions.map((each) => [
      classes[each.class],
      each.uncovered,
      expansion(each.coverage.toGood),
      expansion(each.coverage.toBad),
      percent(each.coverageBound.plain),
      percent(each.coverageBound.withFragile),
      percent(each.uncoveredError),
      outcome(each.isCoverageForetold, each.uncoveredError, 1 - 1 / classes.length),
    ]),
  };
  return {
    tables: hasUncovered ? [correction, coverage] : [correction],
    figures: [],
    notes: [
      `Expansion (Lang, Sontag and Vijayaraghavan 2024): how much more, or less, often than chance a neighbour of a wrongly labelled row is one that the student has right. It depends on what counts as a neighbour, here ${source}, and is measured on the sets of this one student. The theorems ask for the least over many, so that a bound can be too low. The bound leaves out fragile rows, those whose neighbour the student labels otherwise; beside it stands the one with their share.`,
      ...reasons(expansions, classes),
    ],
  };
}

const columns = (names: readonly string[]) => [
  { name: "class" },
  ...names.map((name) => ({ name, align: "right" as const })),
];
const percent = ({ value }: Measured): string | null =>
  value === null ? null : `${(100 * value).toFixed(1).replace("-", "−")} %`;
const expansion = ({ value, found, sources }: MeasuredExpansion): string | null =>
  value.value === null ? null : `${value.value.toFixed(2)} (${found} of ${sources})`;

function outcome(isForetold: boolean | null, { value }: Measured, threshold: number | null): string {
  if (value === null || threshold === null) return "–";
  const came = value < threshold ? "seen" : "not seen";
  if (isForetold === null) return `nothing foretold, ${came}`;
  return `${isForetold ? "foretold" : "not foretold"}, ${came}`;
}

/** Why there are dashes. */
function reasons(expansions: readonly ClassExpansion[], classes: readonly string[]): string[] {
  return expansions.flatMap((each) => {
    const bounds = [
      ["correction", each.correctionBound.plain],
      ...(each.uncovered > 0 ? ([["coverage", each.coverageBound.plain]] as const) : []),
    ] as const;
    return bounds.flatMap(([name, bound]) => {
      const of = `${classes[each.class]}, ${name}:`;
      if (bound.value === null) return [`${of} no bound, since ${bound.reason}.`];
      if (bound.value >= 0) return [];
      return [
        `${of} the bound is below 0, which no error can be. The expansion is not that of all sets that matter, as with a student that copies its labels, and nothing is foretold.`,
      ];
    });
  });
}
