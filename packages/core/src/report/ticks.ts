/** Round numbers inside [low, high], about `count` and at least three of them. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0)) throw new RangeError(`an axis must end above its start: given ${low} to ${high}`);
  const power = 10 ** Math.floor(Math.log10(span / count));
  const steps = [10, 5, 2, 1, 0.5, 0.2].map((factor) => factor * power);
  const inside = (step: number) => Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  const smallest = steps.findLast((step) => step * count >= span * 0.999) ?? steps[0];
  const step = steps.find((each) => each <= smallest && inside(each) >= 3) ?? smallest;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: inside(step) }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/**
 * An axis that holds all values with a little air around them. The air stops at `bounds`, which the quantity can't
 * pass; a value beyond a bound is still held. Values that are not finite are left out.
 */
export function axisAround(
  values: (number | null)[],
  [least, most]: [number, number] = [-Infinity, Infinity],
): [number, number] {
  const finite = values.filter((value) => value !== null && Number.isFinite(value)) as number[];
  if (finite.length === 0) return Number.isFinite(most - least) ? [least, most] : [0, 1];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const air = (high - low) * 0.04 || (Number.isFinite(most - least) ? (most - least) / 20 : 0.5);
  return [Math.min(low, Math.max(least, low - air)), Math.max(high, Math.min(most, high + air))];
}

/** As many decimals as tell the ticks apart. */
export function tickLabel(ticks: number[]): (value: number) => string {
  const decimals = Math.max(0, -Math.floor(Math.log10(ticks[1] - ticks[0]) + 1e-9));
  return (value) => value.toFixed(decimals).replace("-", "−");
}
