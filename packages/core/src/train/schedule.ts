/** How the learning rate changes over training. */
export interface Schedule {
  /** cosine: half a cosine down to 0; linear: a line down to 0. Default cosine. */
  decay: "cosine" | "linear" | "constant";
  /** Share of all steps in which the rate first rises linearly from 0. Default 0. */
  warmup: number;
}

export const scheduleDefaults: Schedule = { decay: "cosine", warmup: 0 };

/** The factor in [0, 1] on the learning rate at `step` of `totalSteps`, both counted from 0. */
export function scheduleFactor({ decay, warmup }: Schedule, step: number, totalSteps: number): number {
  const warmupSteps = Math.round(warmup * totalSteps);
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  if (decay === "cosine") return (1 + Math.cos(Math.PI * progress)) / 2;
  return decay === "linear" ? 1 - progress : 1;
}
