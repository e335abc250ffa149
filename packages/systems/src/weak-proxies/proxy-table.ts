import type { Gaps } from "outgrow";
import {
  column,
  createRandom,
  type HiddenGroupFairness,
  type HiddenGroupOptions,
  hiddenGroupFairness,
  measuredGaps,
  placeOf,
  readTable,
  UserError,
} from "outgrow";

export interface ProxyTableOptions extends Partial<HiddenGroupOptions> {
  /** Column of predicted classes. Default `y_pred`. */
  predicted?: string;
  /** Column of true classes, for equal odds. Default `y_true`, where there is one. */
  truth?: string;
  /** Columns of proxies. Default all that are called `proxy_` and a number. */
  proxies?: readonly string[];
  /** Column of the true group, to score estimates with. Default `true_attr`, where there is one. */
  attribute?: string;
}

export interface ProxyTableResult extends HiddenGroupFairness {
  /** Gaps of the recorded group; absent without a column of it. */
  measured?: Gaps;
}

/**
 * Fairness from a CSV or JSONL file of predictions and proxies. The column of the true group is for scores alone.
 *
 * @throws UserError with the place of what cannot be read, and as `hiddenGroupFairness` does
 */
export async function fairnessOfFile(
  file: string,
  options: ProxyTableOptions = {},
): Promise<ProxyTableResult> {
  const table = await readTable(file);
  const names = table.columns;
  const numbers = (name: string): Int32Array =>
    Int32Array.from(column(table, name), (value, row) => {
      const given = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
      if (typeof given === "number" && Number.isInteger(given) && given >= 0) return given;
      throw new UserError(`expected a class or a group as an integer from 0, not ${JSON.stringify(value)}`, {
        place: placeOf(table, row, name),
      });
    });
  const optional = (given: string | undefined, usual: string) =>
    given !== undefined || names.includes(usual) ? numbers(given ?? usual) : undefined;
  const chosen = options.proxies ?? names.filter((name) => /^proxy_\d+$/.test(name));
  const predicted = numbers(options.predicted ?? "y_pred");
  const truth = optional(options.truth, "y_true");
  const attribute = optional(options.attribute, "true_attr");
  const { predicted: _, truth: __, proxies: ___, attribute: ____, ...rest } = options;
  const found = hiddenGroupFairness(
    { predicted, truth, proxies: chosen.map(numbers) },
    { random: createRandom(0), ...rest },
  );
  if (!attribute) return found;
  // The attribute counts as the proxies do.
  const group = found.warnings.some((warning) => warning.includes("counted from 1"))
    ? attribute.map((a) => a - 1)
    : attribute;
  return { ...found, measured: measuredGaps({ predicted, group, truth }, found) };
}
