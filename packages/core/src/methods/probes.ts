/*
 * Methods that look at the strong model's features before it is trained: a probe on them, fitted to the weak labels, shows
 * which labels do not go with their neighbours (EleutherAI, weak-to-strong generalization, 2024).
 */
import { Tensor } from "@outgrow/engine";
import { selectRows } from "../data/columns.js";
import { argmaxRows, type SoftLabels } from "../data/soft-labels.js";
import { trainLogisticRegression } from "../supervise/logistic-regression.js";
import { largestComponent, nearestNeighbours } from "../supervise/neighbours.js";
import { crossEntropy } from "../train/loss.js";
import type { Lesson, Method } from "./method.js";

const source = "EleutherAI, weak-to-strong generalization, 2024";

/** EleutherAI/w2s: 50 neighbours, penalty 1e-3, and a tenth of the examples dropped. */
export const probeDefaults = { neighbours: 50, l2: 1e-3, contamination: 0.1 };

/** What a probe fitted to the labels says of the same examples. */
type Probe = (features: Tensor, labels: SoftLabels) => Promise<SoftLabels>;

/** By features: several methods and supervisors look at the same, whose neighbours do not depend on the labels. */
const known = new WeakMap<Tensor, Promise<Int32Array>>();

/** Mean label of the nearest points, itself among them. */
export const knnProbe: Probe = async (features, labels) => {
  const k = Math.min(probeDefaults.neighbours, labels.shape[0]);
  const nearest = known.get(features) ?? nearestNeighbours(features, k, { self: true });
  known.set(features, nearest);
  return meanLabels(await nearest, k, labels);
};

/** Logistic regression by L-BFGS from zero. */
export const logisticProbe: Probe = async (features, labels) => {
  const shape: [number, number] = [features.shape[0], features.shape[1]];
  const data = features.data as Float32Array;
  const classes = labels.shape[1];
  return trainLogisticRegression({ features: data, shape, labels, classes, l2: probeDefaults.l2 }).predict(
    data,
    shape,
  );
};

function meanLabels(
  neighbours: Int32Array,
  k: number,
  { values, shape: [rows, classes] }: SoftLabels,
): SoftLabels {
  const means = new Float32Array(rows * classes);
  neighbours.forEach((neighbour, i) => {
    const row = Math.floor(i / k);
    for (let c = 0; c < classes; c++) means[row * classes + c] += values[neighbour * classes + c] / k;
  });
  return { values: means, shape: [rows, classes] };
}

/** Half the sum of the absolute differences of two rows: |a - b| of either class where there are two. */
function distances(a: SoftLabels, b: SoftLabels): Float64Array {
  const [rows, classes] = a.shape;
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let c = 0; c < classes; c++)
      sum += Math.abs(a.values[row * classes + c] - b.values[row * classes + c]);
    return sum / 2;
  });
}

const select = ({ values, shape }: SoftLabels, rows: Int32Array): SoftLabels => ({
  values: selectRows({ labels: new Tensor(values, shape) }, rows).labels.data as Float32Array,
  shape: [rows.length, shape[1]],
});

/** The rows without the `count` that are farthest, of equals the last; ascending. */
function withoutFarthest(rows: Int32Array, far: Float64Array, count: number): Int32Array {
  const order = Array.from(rows.keys()).sort((a, b) => far[a] - far[b] || a - b);
  return Int32Array.from(order.slice(0, rows.length - count), (i) => rows[i]).sort();
}

const all = (count: number) => Int32Array.from({ length: count }, (_, row) => row);

/** Leaves out the share of examples whose label is farthest from what a probe says. */
export async function filterByProbe(
  probe: Probe,
  features: Tensor,
  labels: SoftLabels,
  contamination: number,
): Promise<Lesson> {
  const rows = labels.shape[0];
  const far = distances(await probe(features, labels), labels);
  const kept = withoutFarthest(all(rows), far, Math.round(rows * contamination));
  return { labels: select(labels, kept), rows: kept };
}

/**
 * Keeps, of each class of weak label, the largest strongly connected component of its graph of nearest neighbours; then
 * leaves out those that are farthest from the mean label of their neighbours, until the share is reached.
 */
export async function filterByTopology(
  features: Tensor,
  labels: SoftLabels,
  contamination: number,
): Promise<Lesson> {
  const [rows, classes] = labels.shape;
  const hard = argmaxRows(labels.values, classes);
  const connected: number[] = [];
  for (let c = 0; c < classes; c++) {
    const own = all(rows).filter((row) => hard[row] === c);
    const k = Math.min(probeDefaults.neighbours, own.length - 1);
    if (k < 1) {
      connected.push(...own);
      continue;
    }
    const near = await nearestNeighbours(selectRows({ features }, own).features, k, { self: false });
    const edges = Array.from(own, (_, i) => near.subarray(i * k, (i + 1) * k));
    connected.push(...Array.from(largestComponent(edges), (i) => own[i]));
  }
  const kept = Int32Array.from(connected).sort();
  const wanted = Math.max(0, Math.round(rows * contamination) - (rows - kept.length));
  const k = Math.min(probeDefaults.neighbours, kept.length - 1);
  if (wanted === 0 || k < 1) return { labels: select(labels, kept), rows: kept };
  const own = select(labels, kept);
  const near = await nearestNeighbours(selectRows({ features }, kept).features, k, { self: false });
  const left = withoutFarthest(kept, distances(meanLabels(near, k, own), own), wanted);
  return { labels: select(labels, left), rows: left };
}

const relabel = (name: string, what: string, probe: Probe): Method => ({
  name,
  summary: `what ${what} on the student's features says instead of the weak labels`,
  source,
  loss: () => crossEntropy,
  prepare: async (labels, features) => ({ labels: await probe(await features(), labels) }),
});

const filter = (
  name: string,
  what: string,
  prepare: (features: Tensor, labels: SoftLabels) => Promise<Lesson>,
): Method => ({
  name,
  summary: `weak labels without the tenth ${what}`,
  source,
  loss: () => crossEntropy,
  prepare: async (labels, features) => prepare(await features(), labels),
});

const { contamination } = probeDefaults;

export const probeMethods: readonly Method[] = [
  relabel("relabel-knn", "the mean of the 50 nearest neighbours", knnProbe),
  relabel("relabel-logreg", "a logistic regression", logisticProbe),
  filter("filter-knn", "that is farthest from its 50 nearest neighbours", (features, labels) =>
    filterByProbe(knnProbe, features, labels, contamination),
  ),
  filter("filter-logreg", "that is farthest from a logistic regression", (features, labels) =>
    filterByProbe(logisticProbe, features, labels, contamination),
  ),
  filter("filter-topo", "that hangs together least with its class", (features, labels) =>
    filterByTopology(features, labels, contamination),
  ),
];

/** A student of a student: the second learns from the labels of the first. */
export const strongToStrong: Method = {
  name: "strong-to-strong",
  summary: "naive, then once more: a fresh student on the labels of the first",
  source,
  loss: () => crossEntropy,
  rounds: 2,
};
