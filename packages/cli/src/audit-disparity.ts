import { argmaxRows, createRandom, disparity, disparitySection, UserError } from "outgrow";
import type { AuditConfiguration, AuditPart } from "./audit.js";
import type { AuditSource } from "./audit-source.js";

/** Disparity of weak labels and student between groups, from columns that guess the group. undefined: not asked for. */
export async function disparityPart(
  { examples, columns }: AuditSource,
  { proxy, proxyErrors, group }: AuditConfiguration,
): Promise<AuditPart | undefined> {
  if (proxy === undefined) {
    if (group === undefined && proxyErrors === undefined) return undefined;
    throw new UserError("there is no column that guesses the group", {
      hint: "Give --proxy COLUMN, again for each; a recorded --group is what its estimates are held against.",
    });
  }
  if (proxy.length < 3 && proxyErrors === undefined) {
    throw new UserError(
      `${proxy.length} ${proxy.length === 1 ? "proxy is" : "proxies are"} given, and their errors are not known`,
      {
        hint: "Give three or more that were made independently, whose agreement tells; or how often they are wrong: --proxy-errors 0.2 0.3, a rate for each group.",
      },
    );
  }
  const count = examples.ids.length;
  const texts = (await columns([...proxy, ...(group === undefined ? [] : [group])])).map((values) =>
    values.slice(0, count).map((value) => String(value ?? "").trim()),
  );
  const guesses = texts.slice(0, proxy.length);
  const kept = examples.ids.flatMap((_, i) => (guesses.every((column) => column[i] !== "") ? [i] : []));
  const groups = [...new Set(guesses.flatMap((column) => kept.map((i) => column[i])))].sort();
  if (groups.length < 2) {
    throw new UserError(
      `the proxies name ${groups.length === 1 ? `one group alone, "${groups[0]}"` : "no group"}`,
      {
        hint: "A proxy is a column with a guess of the group for each row.",
      },
    );
  }
  if (groups.length > MOST_GROUPS) {
    throw new UserError(`the proxies name ${groups.length} groups, expected at most ${MOST_GROUPS}`, {
      hint: "A proxy is a column with a guess of the group for each row, and not a number or a text.",
    });
  }
  const recorded = group === undefined ? undefined : texts[proxy.length];
  const strange =
    recorded && kept.map((i) => recorded[i]).find((name) => name !== "" && !groups.includes(name));
  if (strange !== undefined) {
    throw new UserError(`"${strange}" is a value of "${group}" that no proxy ever names`, {
      hint: `The proxies name ${groups.join(", ")}; write the recorded group alike, and leave it empty where it is another.`,
    });
  }
  const codes = (values: readonly string[]) => Int32Array.from(kept, (i) => groups.indexOf(values[i]));
  const { truth, classes } = examples;
  const hard = (labels: Int32Array) => Int32Array.from(kept, (i) => labels[i]);
  const records = disparity(
    {
      predictions: {
        "weak labels": hard(argmaxRows(examples.weak.values, classes.length)),
        student: hard(argmaxRows(examples.student.values, classes.length)),
      },
      proxies: guesses.map(codes),
      groups: groups.length,
      classes: classes.length,
      ...(truth ? { truth: hard(truth) } : {}),
      ...(recorded ? { group: codes(recorded) } : {}),
      errorRates: proxyErrors,
    },
    { random: createRandom(0).stream("audit", "disparity") },
  );
  const section = await disparitySection(records, {
    groups,
    classes,
    proxies: proxy,
    leftOut: count - kept.length,
  });
  return { name: "disparity", records: { groups, classes, ...records }, ...section };
}

const MOST_GROUPS = 10;
