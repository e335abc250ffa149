/** How the learning rate changes over training. */
export interface Schedule {
  /**
   * - cosine: half a cosine down to `floor`
   * - linear: a line down to `floor`
   * - constant: none
   * - wsd: stable, then a line down to `floor` in the last share `anneal` of all steps (warm-up, stable, decay; Hu et al. 2024,
   *   Hägele et al. 2024)
   * - infinite: half a cosine down to `plateau` in the share `cooldown` after the warm-up, constant, then exponentially down to
   *   `floor` in the last share `anneal` (Ibrahim et al. 2024, section 7). Another course goes on from the constant part with
   *   neither warm-up nor cool-down.
   *
   * Default cosine.
   */
  decay: "cosine" | "linear" | "constant" | "wsd" | "infinite";
  /** Share of all steps in which the rate first rises linearly from 0: also where a trained model is warmed up again. Default 0. */
  warmup: number;
  /** The factor at the end, in [0, 1]. Default 0; infinite needs more. */
  floor: number;
  /** Default 0.2. */
  anneal: number;
  /** Default 0.6 (Ibrahim et al. 2024). */
  cooldown: number;
  /** Default 0.55 (Ibrahim et al. 2024: 1.65e-4 of 3e-4). */
  plateau: number;
}

export const scheduleDefaults: Schedule = {
  decay: "cosine",
  warmup: 0,
  floor: 0,
  anneal: 0.2,
  cooldown: 0.6,
  plateau: 0.55,
};

/** @throws RangeError where shares or factors are out of range or do not fit each other */
export function checkSchedule({ decay, warmup, floor, anneal, cooldown, plateau }: Schedule): void {
  for (const [name, value] of Object.entries({ warmup, floor, anneal, cooldown, plateau })) {
    if (!(value >= 0 && value <= 1))
      throw new RangeError(`A schedule's ${name} is ${value}, expected 0 to 1.`);
  }
  const shares = warmup + (decay === "wsd" ? anneal : decay === "infinite" ? cooldown + anneal : 0);
  if (shares > 1 + 1e-9)
    throw new RangeError(`The parts of a schedule take ${shares} of its steps, expected at most 1.`);
  if (decay === "infinite" && !(floor > 0 && floor <= plateau)) {
    throw new RangeError(
      `An infinite schedule's floor is ${floor}, expected more than 0 and at most its plateau, ${plateau}.`,
    );
  }
}

/** The factor in [0, 1] on the learning rate at `step` of `totalSteps`, both counted from 0. */
export function scheduleFactor(schedule: Schedule, step: number, totalSteps: number): number {
  const { decay, warmup, floor, anneal, cooldown, plateau } = schedule;
  const warmupSteps = Math.round(warmup * totalSteps);
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  const since = step - warmupSteps;
  const progress = since / Math.max(1, totalSteps - warmupSteps);
  if (decay === "cosine") return halfCosine(1, floor, progress);
  if (decay === "linear") return 1 + (floor - 1) * progress;
  if (decay === "constant") return 1;
  const annealSteps = Math.round(anneal * totalSteps);
  const annealed = (step - (totalSteps - annealSteps)) / Math.max(1, annealSteps);
  if (decay === "wsd") return annealed < 0 ? 1 : 1 + (floor - 1) * annealed;
  if (annealed >= 0) return plateau * (floor / plateau) ** annealed;
  const cooldownSteps = Math.round(cooldown * totalSteps);
  return since < cooldownSteps ? halfCosine(1, plateau, since / cooldownSteps) : plateau;
}

const halfCosine = (from: number, to: number, progress: number) =>
  to + ((from - to) * (1 + Math.cos(Math.PI * progress))) / 2;
