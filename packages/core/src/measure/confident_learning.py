"""Confident learning (Northcutt, Jiang and Chuang 2021) in NumPy, written from the paper alone, to compare with.

Reads {"labels": [n], "predicted": [n][k]} from standard input and prints the numbers of the likely errors, as pruned by noise rate.
"""
import json
import sys

import numpy as np

given = json.load(sys.stdin)
noisy = np.array(given["labels"])
p = np.array(given["predicted"], dtype=np.float64)
n, k = p.shape

# Thresholds: expected self-confidence of each class.
t = np.array([p[noisy == j, j].mean() if (noisy == j).any() else np.inf for j in range(k)])

# Confident joint: of the classes whose threshold an example reaches, the likeliest.
C = np.zeros((k, k))
for x in range(n):
    reached = np.flatnonzero(p[x] >= t - 1e-6)
    if reached.size:
        C[noisy[x], reached[np.argmax(p[x, reached])]] += 1

# Estimate of the joint distribution of noisy and true labels, from calibrated counts.
Q = np.zeros((k, k))
for i in range(k):
    size = (noisy == i).sum()
    Q[i] = C[i] / C[i].sum() * size if C[i].sum() else np.eye(k)[i] * size
Q /= n

# Prune by noise rate: for each off-diagonal cell the n Q examples of largest margin.
errors = set()
for i in range(k):
    members = np.flatnonzero(noisy == i)
    for j in range(k):
        count = int(round(n * Q[i, j]))
        if i == j or count == 0:
            continue
        margin = p[members, j] - p[members, i]
        errors.update(members[np.argsort(-margin, kind="stable")[:count]].tolist())
errors = [x for x in errors if p[x].argmax() != noisy[x]]
json.dump(sorted(errors), sys.stdout)
