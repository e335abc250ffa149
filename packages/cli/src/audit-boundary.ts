import { dirname, join } from "node:path";
import { boundaryTilting, w2sg } from "@outgrow/systems";
import { argmaxRows, type ClassificationSpec, readClassification, UserError } from "outgrow";
import type { AuditConfiguration, AuditPart } from "./audit.js";
import type { AuditSource } from "./audit-source.js";
import { boundarySection, type JudgedBoundary } from "./boundary-section.js";

/** Points that are looked at: evenly spread where there are more. */
const MOST_POINTS = 1000;

/** How near adversarial examples of a run's student are, and of its weak supervisor where that is ours. undefined: not asked for. */
export async function boundaryPart(
  { file, examples, ofRun: run }: AuditSource,
  { boundary }: AuditConfiguration,
): Promise<AuditPart | undefined> {
  if (!boundary) return undefined;
  if (!run) {
    throw new UserError("a file has labels and no classifier, so that there is no boundary to look at", {
      hint: "Give the id of a run of fit, which holds its student. Other classifiers: boundaryDiagnostics of @outgrow/systems.",
    });
  }
  const { classes } = examples;
  const truth = examples.truth ?? argmaxRows(examples.student.values, classes.length);
  const test = run.parts.flatMap((part, i) => (part === "test" && truth[i] >= 0 ? [i] : []));
  const chosen = test.filter(
    (_, i) => test.length <= MOST_POINTS || (i * MOST_POINTS) % test.length < MOST_POINTS,
  );
  const read = run.record.configuration as Omit<ClassificationSpec, "weak"> & { weak?: string | string[] };
  const data = await readClassification(run.file(), { ...read, weak: [read.weak ?? []].flat()[0] });
  const rowOfLine = new Map(data.lines.map((line, row) => [line, row]));
  const rowsOf = (lines: readonly number[]) =>
    Int32Array.from(lines, (line) => rowOfLine.get(line) as number);
  const points = {
    rows: rowsOf(chosen.map((i) => run.lines[i])),
    labels: Int32Array.from(chosen, (i) => truth[i]),
  };
  const student = await w2sg.readSavedStudent(join(dirname(file), "student"));
  const judged: JudgedBoundary[] = [
    { name: "student", ...(await boundaryTilting.studentBoundary(student, data.inputs, points)) },
  ];
  const notes: string[] = [];
  if (data.inputs.kind === "text") {
    notes.push(
      "Texts cannot be moved by a little: a distance in the student's features is not one between texts, and compares students of one kind with each other. The weak supervisor does not read these features, and has no boundary in them.",
    );
  } else if (data.weak) {
    notes.push("The weak labels were given: what made them is not here, and nor is its boundary.");
  } else {
    const supervision = { rows: rowsOf(run.supervision.lines), labels: run.supervision.labels };
    const supervisor = await boundaryTilting.supervisorBoundary(student, data.inputs, points, supervision);
    judged.push({ name: "weak supervisor", ...supervisor });
  }
  const space =
    data.inputs.kind === "text"
      ? `the student's own ${student.backbone.featureSize} features of a text, before its head, in which it is linear`
      : `the columns ${data.inputs.names.join(", ")}, each with variance 1`;
  const labelled = examples.truth ? "the truth" : "what the student says, for want of truth";
  const section = await boundarySection(judged, { classes, space, labelled });
  return {
    name: "boundary",
    records: { space, labelled, classes, models: judged },
    ...section,
    notes: [...section.notes, ...notes],
  };
}
