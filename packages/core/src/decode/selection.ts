/** Which of some values are the largest: all above `least`, and of those equal to it the first `equals`. */
export interface Cutoff {
  least: number;
  equals: number;
}

/**
 * The smallest number of the largest values whose weights together reach `target`, found without sorting: on average in a time
 * proportional to their number. At least one value is kept, and all where `target` is not reached.
 *
 * @param values at least one; they are put into another order
 * @param weightOf of a value; not negative
 */
export function cutoff(values: Float64Array, target: number, weightOf: (value: number) => number): Cutoff {
  let [start, end] = [0, values.length];
  let reached = 0;
  for (;;) {
    const pivot = middleOf(values[start], values[(start + end) >> 1], values[end - 1]);
    // Three parts: larger than the pivot, equal to it, smaller.
    let [larger, smaller, weight] = [start, end, 0];
    for (let i = start; i < smaller; ) {
      const value = values[i];
      if (value > pivot) {
        weight += weightOf(value);
        values[i++] = values[larger];
        values[larger++] = value;
      } else if (value < pivot) {
        values[i] = values[--smaller];
        values[smaller] = value;
      } else i++;
    }
    if (larger > start && reached + weight >= target) {
      end = larger;
      continue;
    }
    reached += weight;
    const [equals, each] = [smaller - larger, weightOf(pivot)];
    if (reached + equals * each >= target || smaller === end) {
      const needed = Math.max(1, Math.ceil((target - reached) / each));
      return { least: pivot, equals: needed <= equals ? needed : equals };
    }
    reached += equals * each;
    start = smaller;
  }
}

const middleOf = (a: number, b: number, c: number) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
