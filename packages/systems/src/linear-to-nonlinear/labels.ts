import { UserError } from "outgrow";

/** Labels from outputs: 1 above 0, else -1. */
export const labelsOf = (outputs: ArrayLike<number>): Int8Array =>
  Int8Array.from(outputs, (output) => (output > 0 ? 1 : -1));

/** Whether each output has its label's sign. An output of 0 is wrong whatever the label. */
export function agreeing(outputs: ArrayLike<number>, labels: ArrayLike<number>): boolean[] {
  return Array.from(outputs, (output, i) => output * labels[i] > 0);
}

/** Share of those that are true; null where none is asked for. */
export function shareOf(hits: readonly boolean[], wanted: (sample: number) => boolean = () => true) {
  const asked = hits.filter((_, i) => wanted(i));
  return asked.length === 0 ? null : asked.filter(Boolean).length / asked.length;
}

/** The mean of log(1 + exp(-margin)), margins held to [-50, 50]. */
export function logisticLoss(outputs: ArrayLike<number>, labels: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < outputs.length; i++) {
    sum += Math.log1p(Math.exp(-Math.min(50, Math.max(-50, outputs[i] * labels[i]))));
  }
  return sum / outputs.length;
}

/** Changes the class of as many labels, drawn at random, as `share` of them. */
export function flipped(
  labels: Int8Array,
  share: number,
  random: { permutation(count: number): Int32Array },
) {
  const changed = labels.slice();
  for (const i of random.permutation(labels.length).subarray(0, Math.round(share * labels.length))) {
    changed[i] *= -1;
  }
  return changed;
}

/** @throws UserError for another number of labels than samples, and labels that are not 1 or -1 (with the row) */
export function requireLabels(labels: ArrayLike<number>, samples: number): void {
  if (labels.length !== samples) {
    throw new UserError(`${labels.length} labels for ${samples} samples`);
  }
  for (let i = 0; i < samples; i++) {
    if (labels[i] !== 1 && labels[i] !== -1) {
      throw new UserError(`the label of sample ${i} is ${labels[i]}: labels are 1 and -1`);
    }
  }
}
