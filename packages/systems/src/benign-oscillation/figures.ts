import { meanInterval, report } from "outgrow";
import type { Results } from "./claims.js";

/** What ran apart from the sweep, by its part, and what its picture says. */
const tables = [
  ["schedules", "The weak feature by schedule and batch"],
  ["noise", "Noise of other kinds at small rates"],
  ["data", "Where the contrast ends: other data"],
] as const;

export async function figures(results: Results): Promise<report.Figure[]> {
  const made: report.Figure[] = [];
  const has = (part: string) => results.rows.some((row) => row.part === part);
  const caption =
    "Points with nothing but the weak feature and noise; chance is 0.5. A run that diverged counts as 0. Intervals cover 95\u00a0%.";
  const references = [{ at: 0.5, label: "chance" }];
  if (has("sweep")) {
    const kappas = [
      ...new Set(results.rows.filter(({ part }) => part === "sweep").map(({ kappa }) => kappa as number)),
    ].sort((a, b) => a - b);
    made.push(
      await report.estimates(
        {
          measure: "Accuracy on weak points",
          references,
          rows: kappas.map((kappa) => ({
            group: kappa > 1 ? "Outputs oscillate" : "Outputs settle",
            label: `kappa ${kappa}`,
            ...meanInterval(results.values({ part: "sweep", kappa }, "weakAccuracy")),
          })),
        },
        { name: "weak-by-kappa", title: "Large rates learn the weak feature", caption },
      ),
    );
  }
  if (has("curve")) made.push(...(await curves(results)));
  for (const [part, title] of tables) {
    if (!has(part)) continue;
    const cells = new Map(
      results.rows
        .filter((row) => row.part === part)
        .map(({ cell, kappa }) => [`${cell} ${kappa}`, { cell, kappa }]),
    );
    const inOrder =
      part === "noise"
        ? [...cells.values()].sort((a, b) => (a.kappa as number) - (b.kappa as number))
        : [...cells.values()];
    const rows = inOrder.map(({ cell, kappa }) => ({
      group: part === "data" ? cell : part === "noise" ? `kappa ${kappa}` : "",
      label:
        part === "data"
          ? `kappa ${kappa}`
          : part === "noise"
            ? cell
            : `${cell} (kappa\u00a0${Number((kappa as number).toPrecision(3))})`,
      ...meanInterval(results.values({ part, cell, kappa }, "weakAccuracy")),
    }));
    made.push(
      await report.estimates(
        { measure: "Accuracy on weak points", rows, references },
        { name: part, title, caption },
      ),
    );
  }
  if (has("images")) {
    const cells = new Map(
      results.rows
        .filter(({ part }) => part === "images")
        .map(({ cell, rate }) => [`${cell} ${rate}`, { cell, rate }]),
    );
    const rows = [...cells.values()].map(({ cell, rate }) => ({
      group: cell,
      label: `rate ${rate}`,
      ...meanInterval(results.values({ part: "images", cell, rate }, "weakAccuracy")),
    }));
    made.push(
      await report.estimates(
        { measure: "Accuracy on images without bars", rows, references },
        { name: "images", title: "An MLP on images of bars and faint glyphs" },
      ),
    );
  }
  return made;
}

/** Of the first seed. */
async function curves(results: Results): Promise<report.Figure[]> {
  const [{ seed }] = results.rows;
  const of = (cell: string) =>
    [0.5, 1.4].map((kappa) => ({
      name: `kappa ${kappa}`,
      points: results.rows
        .filter((row) => row.seed === seed && row.cell === cell && row.kappa === kappa)
        .map((row): [number, number] => [row.steps as number, row.value as number]),
    }));
  const caption = `Seed ${seed}.`;
  return [
    await report.scatter(
      { x: "step", y: "y f(x) of the strong point visited", series: of("output") },
      { name: "output", title: "Outputs settle at the label, or oscillate around it", caption },
    ),
    await report.scatter(
      { x: "step", y: "sum of 1 − y f(x) over strong points", series: of("drift") },
      { name: "drift", title: "What drives the weak feature adds up under oscillation", caption },
    ),
    await report.scatter(
      { x: "step", y: "y f of the weak patch alone, smaller class", series: of("weak output") },
      { name: "weak-output", title: "The weak feature grows at the large rate alone", caption },
    ),
  ];
}
