import { report } from "outgrow";
import { describe, expect, test } from "vitest";
import { compare } from "./compare.js";
import { type StudentRecord, type StudyConfig, studySchema } from "./study.js";
import { pgrPicture, summarise } from "./summary.js";
import { fixed, percent, range, withRange } from "./wording.js";

const rung = (width: number) => ({ width, samples: 1, epochs: 1 });
const configure = (given: Parameters<typeof studySchema.parse>[0]): StudyConfig =>
  studySchema.parse({
    worlds: 2,
    tasks: 2,
    modes: ["linear-probe"],
    ladder: [rung(8), rung(64)],
    ...(given as object),
  });
const config = configure({ methods: ["naive", "confidence"] });

const predictions = (right: number) => {
  const values = new Float32Array(40);
  for (let i = 0; i < 20; i++) values.set(i < right ? [0.9, 0.1] : [0.1, 0.9], 2 * i);
  return { values, shape: [20, 2] as [number, number] };
};
/** One student that is right on so many of 20 examples. */
function student(
  of: Partial<StudentRecord>,
  right: { weak: number; student: number; ceiling: number },
): StudentRecord {
  const { weak, student: own, ceiling } = right;
  return {
    world: 0,
    task: 0,
    mode: "linear-probe",
    weak: "MLP 8",
    student: "MLP 64",
    method: "naive",
    ...compare(new Int32Array(20), {
      weak: predictions(weak),
      student: predictions(own),
      ceiling: predictions(ceiling),
    }),
    ...of,
  };
}

/** Every student of a study in which naive students recover `naive` and others `others` of the 10 that weak is short of. */
const study = (
  methods: string[],
  naive: (world: number, task: number) => { student: number; ceiling: number },
) =>
  [0, 1].flatMap((world) =>
    [0, 1].flatMap((task) =>
      methods.map((method) => {
        const { student: own, ceiling } = naive(world, task);
        const better = method === "confidence" ? 1 : 0;
        return student({ world, task, method }, { weak: 10, student: own + better, ceiling });
      }),
    ),
  );
const all = ["naive", "confidence", "self-training", "random init"];
const records = study(all, (world, task) => ({ student: 12 + 2 * world + task, ceiling: 20 }));
const withoutGap = study(all, () => ({ student: 12, ceiling: 10 }));

const rowsOf = ({ tables: [table] }: report.Report) =>
  table.rows.map((row) => Object.fromEntries(table.columns.map(({ name }, i) => [name, row[i]])));
/** What a reader sees of the page, without styles and tags. */
const visible = (html: string) =>
  html
    .replace(/<style>.*?<\/style>/gs, "")
    .replace(/<pre>.*?<\/pre>/gs, "")
    .replace(/<[^>]*>/g, " ");

describe("summarise", () => {
  test("has one row for each supervisor and method, with means over worlds and tasks", async () => {
    const rows = rowsOf(await summarise(records, config, 60));
    expect(rows.map(({ weak, method }) => [weak, method])).toEqual(all.map((method) => ["MLP 8", method]));
    // Students are right on 12, 13, 14 and 15 of 20: 67.5 %; PGR 0.2 to 0.5.
    expect(rows[0]).toMatchObject({
      "weak acc.": "50.0",
      "student acc.": "67.5",
      "ceiling acc.": "100.0",
      PGR: "0.35",
    });
    expect(rows[1]).toMatchObject({ "student acc.": "72.5", PGR: "0.45" });
    expect(rows[0]["95 % interval"]).toMatch(/^\[0\.\d\d, 0\.\d\d\]$/);
  });

  test("the lead counts the students that beat their teacher, and gives what the confidence loss changes", async () => {
    const mixed = study(all, (world, task) => ({ student: world + task === 0 ? 9 : 14, ceiling: 20 }));
    const { lead, facts } = await summarise(mixed, config, 60);
    expect(lead).toContain(
      "MLP 64 is more accurate than its teacher in 3 of 4 cases (naive method, linear probe).",
    );
    expect(lead).toContain("The confidence loss changes the PGR by +0.10 [0.10, 0.10] for MLP 8.");
    expect(facts[0].label).toBe("PGR MLP 8 → MLP 64, naive");
    expect(facts[0].value).toMatch(/^0\.27 \[−?0\.\d\d, 0\.\d\d\]$/);
    expect(facts.at(-1)).toEqual({ label: "Wall time", value: "1 min 00 s" });
  });

  test("leaves students without a gap out of the means, and counts them", async () => {
    const partly = study(all, (world, task) => ({ student: 14, ceiling: world + task === 0 ? 10 : 20 }));
    const page = await summarise(partly, config, 60);
    expect(rowsOf(page)[0].PGR).toBe("0.40 (3 of 4)");
    expect(page.notes.join(" ")).toContain("The PGR is undefined in 4 of 16 students");
  });

  test("says that the PGR is undefined where it is so everywhere, and nothing of its change", async () => {
    const page = await summarise(withoutGap, config, 60);
    for (const row of rowsOf(page)) expect(row).toMatchObject({ PGR: "undefined", "95 % interval": null });
    expect(page.facts[0].value).toBe("undefined");
    expect(page.lead).not.toContain("confidence");
  });

  test("no value that is missing shows as one", async () => {
    const text = visible(report.renderReport(await summarise(records, config, 60)));
    expect(text).not.toMatch(/NaN|undefined|null|Infinity|\[object/);
    const gapless = visible(report.renderReport(await summarise(withoutGap, config, 60)));
    expect(gapless).not.toMatch(/NaN|null|Infinity|\[object/);
  });

  test("escapes hostile names", async () => {
    const name = `<script>alert("x")</script>`;
    const hostile = study([name], () => ({ student: 12, ceiling: 20 }));
    const page = await summarise(hostile, configure({ methods: [name] }), 60);
    const html = report.renderReport(page);
    expect(html).not.toContain("<script");
    expect(html).toContain("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;");
    for (const { svg } of page.figures) expect(svg).not.toContain("<script");
  });

  test("makes figures for each mode", async () => {
    const both = configure({ methods: ["naive"], modes: ["linear-probe", "full-finetune"] });
    const own = study(["naive"], () => ({ student: 12, ceiling: 20 }));
    const page = await summarise(
      [...own, ...own.map((record) => ({ ...record, mode: "full-finetune" as const }))],
      both,
      1,
    );
    expect(page.tables).toHaveLength(2);
    const names = page.figures.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const mode of both.modes) {
      expect(names.filter((name) => name.endsWith(mode))).toEqual(
        ["accuracy", "pgr", "agreement", "calibration"].map((kind) => `${kind}-${mode}`),
      );
    }
  });
});

describe("pgrPicture", () => {
  test("has a line for each method but self-training, and fits its width", () => {
    const lines = pgrPicture(records, config, "linear-probe", 80).split("\n");
    for (const method of ["naive", "confidence", "random init"]) {
      expect(lines.some((line) => line.startsWith(`MLP 8 → ${method}`))).toBe(true);
    }
    expect(lines.join("\n")).not.toContain("self-training");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("says undefined where there is no gap", () => {
    const picture = pgrPicture(withoutGap, config, "linear-probe", 80);
    expect(picture.match(/undefined/g)).toHaveLength(3);
    expect(picture).not.toContain("NaN");
  });
});

describe("wording of numbers", () => {
  test("a minus sign is a minus sign, and zero has none", () => {
    expect(fixed(-0.25, 2)).toBe("−0.25");
    expect(fixed(-0.001, 2)).toBe("0.00");
    expect(fixed(1 / 3, 3)).toBe("0.333");
    expect(percent(0.675)).toBe("67.5");
    expect(percent(null)).toBeNull();
  });

  test("an interval without ends is left out", () => {
    expect(range({ low: -0.1, high: 0.2 })).toBe("[−0.10, 0.20]");
    expect(range({ low: 0.1, high: 0.2 }, { factor: 100, digits: 1 })).toBe("[10.0, 20.0]");
    expect(range({ low: null, high: null })).toBeNull();
    expect(withRange(0.3, { low: null, high: null })).toBe("0.30");
    expect(withRange(-0.3, { low: -0.5, high: -0.1 })).toBe("−0.30 [−0.50, −0.10]");
  });
});
