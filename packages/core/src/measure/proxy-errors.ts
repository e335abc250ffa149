import { UserError } from "../errors.js";
import type { Random } from "../random.js";

/** How proxies of a group err, and how common the groups are. */
export interface ProxyErrors {
  /** P(proxy = b | group = a): `[groups, groups]`, row by row; shared by all proxies. */
  transition: Float64Array;
  /** P(group = a): `[groups]`. */
  prior: Float64Array;
  /** What is left of the agreement that the estimate does not explain. */
  loss: number;
}

export interface ProxyErrorOptions {
  random: Random;
  /** Draws of three proxies and of rows that the agreement is averaged over. Default 50. */
  rounds?: number;
  /** Steps of Adam at a rate of 0.1. Default 1500. */
  steps?: number;
}

/** Rows of one draw at most, and share of all rows. */
const [MOST_ROWS, ROW_SHARE] = [15_000, 0.9];
const RATE = 0.1;
/** The best estimate is looked for after these steps. */
const WARM_UP = 5;

/** Relative frequencies of one proxy's values, of pairs and of triples: `[m]`, `[m, m]`, `[m, m, m]`. */
export interface Consensus {
  first: Float64Array;
  second: Float64Array;
  third: Float64Array;
}

/**
 * Error rates of proxies that see no truth, from how often three of them agree (HOC: Zhu, Song and Liu 2021, "Clusterability
 * as an alternative to anchor points"; used as in Zhu et al. 2022, "Weak Proxies are Sufficient and Preferable for Fairness").
 * Right where the proxies are independent given the group, err alike and are right more often than not. Columns hold the
 * groups 0 to `groups - 1` of the same rows; at least three.
 *
 * @throws UserError for fewer than three proxies, and for two that are the same
 */
export function estimateProxyErrors(
  proxies: readonly Int32Array[],
  groups: number,
  { random, rounds = 50, steps = 1500 }: ProxyErrorOptions,
): ProxyErrors {
  requireThree(proxies);
  const consensus = countConsensus(proxies, groups, rounds, random.stream("rows"));
  return fitConsensus(consensus, groups, steps, random.stream("start"));
}

export function requireThree(proxies: readonly Int32Array[]): void {
  if (proxies.length < 3) {
    throw new UserError(`${proxies.length} proxies are given, and three are needed for identifiability`, {
      hint: "The errors of proxies are read from how three of them agree.",
    });
  }
  proxies.forEach((a, i) => {
    const same = proxies.findIndex(
      (b, j) => j > i && a.length > 0 && a.every((value, row) => value === b[row]),
    );
    if (same < 0) return;
    throw new UserError(`proxies ${i + 1} and ${same + 1} agree on all ${a.length} rows`, {
      hint: "Copies of one proxy tell nothing of its errors: give proxies that were made independently.",
    });
  });
}

/** Agreement over rounds of three proxies in random order and rows drawn without replacement. */
export function countConsensus(
  proxies: readonly Int32Array[],
  groups: number,
  rounds: number,
  random: Random,
): Consensus {
  const m = groups;
  const rows = proxies[0].length;
  const kept = Math.max(1, Math.min(MOST_ROWS, Math.floor(ROW_SHARE * rows)));
  const order = Int32Array.from({ length: rows }, (_, i) => i);
  const third = new Float64Array(m ** 3);
  for (let round = 0; round < rounds; round++) {
    const [a, b, c] = Array.from(random.permutation(proxies.length).subarray(0, 3), (j) => proxies[j]);
    // The first entries of a shuffle in progress are a draw without replacement; so are those that are left.
    for (let i = 0; i < rows - kept; i++) {
      const j = i + random.integer(rows - i);
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (let i = rows - kept; i < rows; i++) {
      const row = order[i];
      third[(a[row] * m + b[row]) * m + c[row]]++;
    }
  }
  const second = new Float64Array(m * m);
  const first = new Float64Array(m);
  third.forEach((count, at) => {
    const share = count / (rounds * kept);
    third[at] = share;
    second[Math.floor(at / m)] += share;
    first[Math.floor(at / (m * m))] += share;
  });
  return { first, second, third };
}

/** The consensus of proxies with these error rates: what {@link fitConsensus} undoes. */
export function expectedConsensus({
  transition: T,
  prior,
}: Pick<ProxyErrors, "transition" | "prior">): Consensus {
  const m = prior.length;
  const [first, second, third] = [new Float64Array(m), new Float64Array(m * m), new Float64Array(m ** 3)];
  for (let a = 0; a < m; a++) {
    for (let i = 0; i < m; i++) {
      const one = prior[a] * T[a * m + i];
      first[i] += one;
      for (let j = 0; j < m; j++) {
        const two = one * T[a * m + j];
        second[i * m + j] += two;
        for (let k = 0; k < m; k++) third[(i * m + j) * m + k] += two * T[a * m + k];
      }
    }
  }
  return { first, second, third };
}

/** Least sum of the three distances (not squared) to a consensus, from a start in which proxies are mostly right. */
export function fitConsensus(
  consensus: Consensus,
  groups: number,
  steps: number,
  random: Random,
): ProxyErrors {
  const m = groups;
  // Logits of the rows of T, then those of the prior.
  const point = new Float64Array(m * m + m);
  for (let a = 0; a < m; a++) {
    for (let b = 0; b < m; b++) point[a * m + b] = a === b ? 0 : -1;
    point[m * m + a] = 1 / m + 0.1 * random.uniform();
  }
  const gradient = new Float64Array(point.length);
  const mean = new Float64Array(point.length);
  const square = new Float64Array(point.length);
  let best: ProxyErrors | undefined;
  for (let step = 1; step <= steps; step++) {
    const found = consensusLoss(point, consensus, gradient);
    if (!best || (step > WARM_UP && found.loss < best.loss)) best = found;
    for (let i = 0; i < point.length; i++) {
      mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
      square[i] = 0.999 * square[i] + 0.001 * gradient[i] ** 2;
      const scale = Math.sqrt(square[i] / (1 - 0.999 ** step)) + 1e-8;
      point[i] -= (RATE * mean[i]) / (1 - 0.9 ** step) / scale;
    }
  }
  return best as ProxyErrors;
}

/** Loss of logits [m * m + m]; writes its gradient. */
export function consensusLoss(
  point: Float64Array,
  consensus: Consensus,
  gradient: Float64Array,
): ProxyErrors {
  const m = consensus.first.length;
  const T = new Float64Array(m * m);
  for (let a = 0; a < m; a++) T.set(softmax(point.subarray(a * m, (a + 1) * m)), a * m);
  const prior = softmax(point.subarray(m * m));
  const expected = expectedConsensus({ transition: T, prior });
  let loss = 0;
  // Of each distance by the expected frequencies.
  const slope = (["first", "second", "third"] as const).map((order) => {
    const difference = expected[order].map((value, i) => value - consensus[order][i]);
    const norm = Math.sqrt(difference.reduce((sum, value) => sum + value * value, 0));
    loss += norm;
    return norm === 0 ? difference : difference.map((value) => value / norm);
  });
  const [g1, g2, g3] = slope;
  const byPrior = new Float64Array(m);
  for (let a = 0; a < m; a++) {
    const row = T.subarray(a * m, (a + 1) * m);
    const byRow = new Float64Array(m);
    for (let i = 0; i < m; i++) {
      byPrior[a] += g1[i] * row[i];
      byRow[i] += g1[i];
      for (let j = 0; j < m; j++) {
        byPrior[a] += g2[i * m + j] * row[i] * row[j];
        byRow[i] += (g2[i * m + j] + g2[j * m + i]) * row[j];
        for (let k = 0; k < m; k++) {
          byPrior[a] += g3[(i * m + j) * m + k] * row[i] * row[j] * row[k];
          const turns = g3[(i * m + j) * m + k] + g3[(j * m + i) * m + k] + g3[(j * m + k) * m + i];
          byRow[i] += turns * row[j] * row[k];
        }
      }
    }
    throughSoftmax(row, byRow, prior[a], gradient.subarray(a * m, (a + 1) * m));
  }
  throughSoftmax(prior, byPrior, 1, gradient.subarray(m * m));
  return { transition: T, prior, loss };
}

function softmax(logits: Float64Array): Float64Array {
  const top = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

function throughSoftmax(p: Float64Array, slope: Float64Array, factor: number, out: Float64Array): void {
  const mean = p.reduce((sum, value, i) => sum + value * slope[i], 0);
  p.forEach((value, i) => {
    out[i] = factor * value * (slope[i] - mean);
  });
}
