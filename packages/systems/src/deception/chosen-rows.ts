import { type Random, UserError } from "outgrow";

/**
 * The order of a course through some of the examples, in whole batches, so that one program serves any number of them. Fewer
 * than a batch fill one several times over.
 *
 * @throws UserError where none is chosen
 */
export function orderOfRows(rows: Int32Array, epochs: number, batchSize: number, random: Random): Int32Array {
  if (rows.length === 0) throw new UserError("no pair was chosen to learn from");
  const perEpoch = Math.max(1, Math.floor(rows.length / batchSize)) * batchSize;
  const order = new Int32Array(perEpoch * epochs);
  for (let epoch = 0; epoch < epochs; epoch++) {
    const permuted = random.stream("epoch", epoch).permutation(rows.length);
    for (let i = 0; i < perEpoch; i++) order[epoch * perEpoch + i] = rows[permuted[i % rows.length]];
  }
  return order;
}
