import { meanInterval, report } from "outgrow";
import { gaps, payments, thresholds } from "./ablations.js";
import { conflicts, excess, NARROW, of, type Results, WIDE } from "./claims.js";
import type { Track } from "./fields.js";

const shown = [...conflicts, "other seed"] as const;

/** The claims' pictures, of the tracks that ran, and the ablations where they did. */
export async function figures(results: Results): Promise<report.Figure[]> {
  const all = [whereErrorsFall(results)];
  if (results.rows.some(({ ablation }) => ablation !== "")) all.push(underOtherSettings(results));
  return Promise.all(all);
}

const caption =
  "0: errors fall on such pairs as often as on others. “Other seed”: a second student without conflict. Intervals cover 95\u00a0%.";

function whereErrorsFall(results: Results) {
  const groups: { track: Track; weak?: number; group: string }[] = [
    { track: "reward models", weak: WIDE, group: `Reward models, weak model of ${WIDE} features` },
    { track: "reward models", weak: NARROW, group: `Reward models, weak model of ${NARROW} features` },
    { track: "dpo", group: "Language models, DPO" },
    { track: "simpo", group: "Language models, SimPO" },
  ];
  const rows = groups
    .filter(({ track, weak }) =>
      results.rows.some((row) => row.track === track && (weak === undefined || row.weak === weak)),
    )
    .flatMap(({ track, weak, group }) =>
      shown.map((condition) => {
        const { mean, low, high } = meanInterval(results.values(of(track, condition, weak), excess));
        return { group, label: condition, mean, low, high };
      }),
    );
  return report.estimates(
    { measure: "Deception score minus base share", rows },
    {
      name: "deception",
      title: "Errors of conflict in what only the strong model knows, beyond chance",
      caption,
    },
  );
}

function underOtherSettings(results: Results) {
  const row = (group: string, label: string, condition: object) => ({
    group,
    label,
    ...meanInterval(results.values(condition, excess)),
  });
  const rows = [
    ...payments.map((payment) =>
      row("Payment for harmful choices, explicit", `${payment}`, { ablation: "payment", payment }),
    ),
    ...shown.flatMap((condition) =>
      thresholds.map((threshold) =>
        row(`Confidence of knowing, ${condition}`, `${threshold}`, {
          ablation: "threshold",
          threshold,
          condition,
        }),
      ),
    ),
    ...shown.flatMap((condition) =>
      gaps.map((weak) =>
        row(`Features of the weak model, ${condition}`, `${weak}`, { ablation: "gap", weak, condition }),
      ),
    ),
  ];
  return report.estimates(
    { measure: "Deception score minus base share", rows },
    { name: "ablations", title: "The same under other settings", caption },
  );
}
