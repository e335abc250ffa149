import type { SupervisorChoice } from "../measure/misfit.js";
import type { ReportTable } from "./table.js";

/** The ranking for people. */
export const supervisorChoice = ({ ranking, ties }: SupervisorChoice): ReportTable => ({
  title: "Weak supervisors, the best student first",
  caption: `By squared error: that of the weak labels minus their misfit foretells the student's (Charikar et al. 2024).${ties.length > 0 ? ` As good as the first: ${ties.join(", ")}.` : ""} Below 0 the theory does not apply.`,
  columns: [
    { name: "weak labels" },
    { name: "their error", align: "right" },
    { name: "misfit", align: "right" },
    { name: "foretold error of the student", align: "right" },
  ],
  rows: ranking.map(({ name, weakError, misfit, score, interval }) => [
    name,
    weakError.toFixed(4),
    misfit.toFixed(4),
    interval
      ? `${score.toFixed(4)} [${interval.low.toFixed(4)}, ${interval.high.toFixed(4)}]`
      : score.toFixed(4),
  ]),
});
