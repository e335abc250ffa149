import { type Experiment, type ResultRow, readClassification } from "outgrow";
import { z } from "zod";
import { studies } from "./studies.js";
import type { Comparison } from "./w2sg/compare.js";
import { fitOwnData, type OwnRecord, ownDataSchema } from "./w2sg/own-data.js";

/** The measures of a student in columns. */
function flat({
  agreement,
  calibration: _,
  pgrReason,
  weights = {},
  ...rest
}: Partial<Comparison> & Pick<OwnRecord, "weights">): ResultRow {
  const nested = {
    agreement: agreement?.overall ?? null,
    agreementWhenWeakRight: agreement?.whenWeakRight ?? null,
    agreementWhenWeakWrong: agreement?.whenWeakWrong ?? null,
    pgrReason: pgrReason ?? null,
    ...Object.fromEntries(Object.entries(weights).map(([name, weight]) => [`weight of ${name}`, weight])),
  };
  return { ...(rest as ResultRow), ...nested };
}

const fitSchema = ownDataSchema.extend({
  /** Path of a CSV or JSONL file. */
  file: z.string(),
  text: z.array(z.string()).optional(),
  features: z.array(z.string()).optional(),
  /** Several for several supervisors. */
  weak: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  truth: z.string().optional(),
  id: z.string().optional(),
  classes: z.array(z.string()).optional(),
  header: z.boolean().optional(),
  format: z.enum(["csv", "jsonl"]).optional(),
});

const fit: Experiment<typeof fitSchema> = {
  name: "fit",
  title: "The three models on a file of one's own",
  schema: fitSchema,
  measures: ["studentAccuracy", "pgr"],
  conditions: ["method"],
  async run({ file, text, features, weak, truth, id, classes, header, format, ...config }, context) {
    const data = await readClassification(file, { text, features, weak, truth, id, classes, header, format });
    const { records } = await fitOwnData(data, config, context);
    return records.map((record) => flat({ ...record }));
  },
};

/** What `outgrow sweep` can run, by name. */
export const experiments: readonly Experiment[] = [fit, ...studies];
