import { meanInterval, report } from "outgrow";
import type { Results } from "./claims.js";
import type { Row } from "./rows.js";

const INTERVALS = "Intervals cover 95\u00a0%.";

export async function figures(results: Results): Promise<report.Figure[]> {
  const all: Promise<report.Figure>[] = [];
  const of = (part: Row["part"]) => results.rows.filter((row) => row.part === part);
  const different = <Name extends keyof Row>(rows: readonly Row[], name: Name) => [
    ...new Set(rows.map((row) => row[name])),
  ];
  const curve = of("curve").filter(({ seed }) => seed === of("curve")[0].seed);
  if (curve.length > 0) {
    const shown = evenly(curve.filter(({ steps }) => steps > 0));
    const line = (name: string, measure: keyof Row) => ({
      name,
      points: shown.flatMap((row): [number, number][] =>
        typeof row[measure] === "number" ? [[Math.log10(row.steps), row[measure]]] : [],
      ),
    });
    const seed = `Seed ${curve[0].seed}, of the ${different(of("curve"), "seed").length} that were run.`;
    all.push(
      report.scatter(
        {
          x: "log10 of the step",
          y: "Share",
          series: [
            line("test accuracy", "final"),
            line("wrong weak labels corrected", "corrected"),
            line("fit to the weak labels", "fit"),
            line("weak model", "weak"),
          ],
        },
        {
          name: "correction",
          title: "Much data: wrong labels are corrected, then learned",
          caption: seed,
        },
      ),
      report.scatter(
        {
          x: "log10 of the step",
          y: "Mean positive coefficient",
          series: [
            line("easy signal", "easy"),
            line("hard signal", "hardStraight"),
            line("hard signal, turned", "hardTurned"),
            line("noise of one sample", "memorised"),
          ],
        },
        {
          name: "coefficients",
          title: "What the filters hold",
          caption: `Filters of the signal's class; of noise the largest coefficient of each filter. ${seed}`,
        },
      ),
    );
  }
  const scarce = of("scarce");
  if (scarce.length > 0) {
    const rows = different(scarce, "noise").flatMap((noise) =>
      different(scarce, "samples").flatMap((samples) =>
        different(
          scarce.filter((row) => row.samples === samples),
          "arm",
        ).map((arm) => ({
          group: `${arm === "truth" ? "True labels" : "Weak labels"}, noise ${noise}`,
          label: `${samples} samples`,
          ...meanInterval(
            results.values(
              { part: "scarce", noise, samples, arm },
              (row) => (row.final ?? 0) - (row.weak ?? 0),
            ),
          ),
        })),
      ),
    );
    all.push(
      report.estimates(
        {
          measure: "Accuracy minus the weak model's",
          rows: rows.sort((a, b) => b.group.localeCompare(a.group)),
          references: [{ at: 0, label: "weak model" }],
        },
        { name: "overfitting", title: "Little data: overfitting, harmful or benign", caption: INTERVALS },
      ),
      report.scatter(
        {
          x: "log10 of kappa",
          y: "Accuracy on hard samples",
          series: different(scarce, "noise").map((noise) => ({
            name: `noise ${noise}`,
            points: scarce.flatMap((row): [number, number][] =>
              row.noise === noise && row.arm === "weak labels" && row.finalHard !== null
                ? [[Math.log10(row.kappa), row.finalHard]]
                : [],
            ),
          })),
        },
        {
          name: "kappa",
          title: "Kappa decides",
          caption: "Students of weak labels at the end of training, all seeds. One half is chance.",
        },
      ),
    );
  }
  const compared = [...of("bridge"), ...of("ablations")];
  if (compared.length > 0) {
    const lastStep = (part: Row["part"]) => Math.max(0, ...of(part).map(({ steps }) => steps));
    const groups = [
      ...different(of("bridge"), "bothShare")
        .sort((a, b) => a - b)
        .map((bothShare) => ({
          group: "Share of samples with both signals",
          label: String(bothShare),
          condition: { part: "bridge", bothShare } as const,
        })),
      ...different(of("ablations"), "arm").map((arm) => ({
        group: "Other labels, filters and steps",
        label: arm,
        condition: { part: "ablations", arm } as const,
      })),
    ];
    for (const [measure, name, title] of [
      ["best", "best", "What the student gains at its best time"],
      ["final", "final", "What is left of it at the end"],
    ] as const) {
      all.push(
        report.estimates(
          {
            measure: "Accuracy minus the weak model's",
            rows: groups.map(({ group, label, condition }) => ({
              group,
              label,
              ...meanInterval(results.values(condition, (row) => (row[measure] ?? 0) - (row.weak ?? 0))),
            })),
            references: [{ at: 0, label: "weak model" }],
          },
          {
            name,
            title,
            caption: `Other shares after ${lastStep("bridge")} steps, the rest after ${lastStep("ablations")}. ${INTERVALS}`,
          },
        ),
      );
    }
  }
  return Promise.all(all);
}

/** About as many for each factor of two in steps. */
function evenly<Point extends { steps: number }>(points: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (const point of points) {
    const last = kept[kept.length - 1];
    if (!last || Math.log10(point.steps / last.steps) >= 0.035) kept.push(point);
  }
  return kept;
}
