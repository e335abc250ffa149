import { meanInterval, report, type StudyResults } from "outgrow";
import { type RepresentationName, type Row, representationNames } from "./stage.js";

type Results = StudyResults<Row>;

/** Pictures of the parts that ran. */
export async function figures(results: Results) {
  const has = (part: Row["part"]) => results.rows.some((row) => row.part === part);
  return [
    ...(has("students") ? await ofStudents(results) : []),
    ...(has("sweep") ? await ofSweep(results) : []),
    ...(has("ablations") ? [await ofAblations(results)] : []),
  ];
}

const titles: Record<RepresentationName, string> = {
  "LSA, fewer": "LSA, fewer dimensions",
  "LSA, more": "LSA, more dimensions",
  words: "words",
};

async function ofStudents(results: Results) {
  const at = (representation: RepresentationName, labels: Row["labels"], k: number) =>
    ({ part: "students", representation, labels, class: k }) as const;
  const sides = [
    ["covered", "with a weak label"],
    ["uncovered", "without"],
  ] as const;
  const rows = sides.flatMap(([side, words]) =>
    [0, 1].flatMap((k) => {
      const group = `class ${k}, ${words}`;
      const teacher =
        side === "covered"
          ? [
              {
                group,
                label: "weak labels",
                ...meanInterval(results.values(at("words", "rule", k), "teacher")),
              },
            ]
          : [];
      return [
        ...teacher,
        ...representationNames.map((name) => ({
          group,
          label: titles[name],
          ...meanInterval(results.values(at(name, "rule", k), side)),
        })),
        {
          group,
          label: "LSA, fewer, true labels",
          ...meanInterval(results.values(at("LSA, fewer", "gold", k), side)),
        },
      ];
    }),
  );
  const expansion = (["rule", "random"] as const).flatMap((labels) =>
    [0, 1].flatMap((k) =>
      representationNames.map((name) => ({
        group: `${labels === "rule" ? "rule" : "random errors"}, class ${k}`,
        label: titles[name],
        ...meanInterval(results.values(at(name, labels, k), "badToGood")),
      })),
    ),
  );
  return [
    await report.estimates(
      { measure: "Accuracy", rows },
      { name: "accuracy", title: "Students of a rule that covers one review in nine" },
    ),
    await report.estimates(
      { measure: "Expansion from badly to well labelled reviews", rows: expansion },
      { name: "expansion", title: "Who cannot copy the rule's errors expands" },
    ),
  ];
}

async function ofSweep(results: Results) {
  const rows = results.rows.filter((row) => row.part === "sweep" && row.class !== null);
  const picture = async (
    bound: "correction" | "coverageBound",
    error: "worstCovered" | "worstUncovered",
    words: { name: string; title: string },
  ) => {
    const drawn = rows.filter((row) => row[bound] !== null && row[error] !== null);
    const shown = drawn.filter((row) => Math.abs(row[bound] as number) <= 1);
    return report.scatter(
      {
        x: "Bound on the worst student's error",
        y: "Its error",
        series: representationNames.map((name) => ({
          name: titles[name],
          points: shown
            .filter((row) => row.representation === name)
            .map((row): [number, number] => [row[bound] as number, row[error] as number]),
        })),
        diagonal: "error = bound; above it the bound is exceeded",
      },
      {
        ...words,
        caption: `A point for each seed, world and class. The bound says nothing for ${rows.length - drawn.length} of ${rows.length}${drawn.length > shown.length ? `; ${drawn.length - shown.length} lie beyond 1 or -1` : ""}.`,
      },
    );
  };
  return [
    await picture("correction", "worstCovered", {
      name: "correction-bound",
      title: "Error by bound where there are weak labels",
    }),
    await picture("coverageBound", "worstUncovered", {
      name: "coverage-bound",
      title: "Error by bound where there are none",
    }),
  ];
}

async function ofAblations(results: Results) {
  const worlds = [
    ...new Set(results.rows.filter(({ part }) => part === "ablations").map(({ world }) => world)),
  ].filter((world) => !world.startsWith("q "));
  const rows = (["covered", "uncovered"] as const).flatMap((side) =>
    worlds.map((world) => ({
      group: side === "covered" ? "covered, minus weak labels" : "uncovered, minus 0.5",
      label: world,
      ...meanInterval(
        results.values({ part: "ablations", world, class: null }, (row) =>
          side === "covered" ? row.covered - (row.teacher as number) : row.uncovered - 0.5,
        ),
      ),
    })),
  );
  return report.estimates(
    { measure: "Accuracy gained", rows, references: [{ at: 0, label: "nothing" }] },
    { name: "ablations", title: "What a student of LSA gains, by what differs from the default" },
  );
}
