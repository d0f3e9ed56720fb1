"""The definitions, spelled out an example at a time in double precision."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np


def probabilities(row) -> list[float]:
    row = [float(v) for v in row]
    top = max(row)
    exps = [math.exp(v - top) for v in row]
    return [e / math.fsum(exps) for e in exps]


def confidences(logits, labels) -> list[tuple[float, int]]:
    """(confidence to 12 digits, whether it is right) of each example."""
    found = []
    for row, label in zip(logits, labels, strict=True):
        values = [float(v) for v in row]
        found.append((round(max(probabilities(row)), 12), int(values.index(max(values)) == label)))
    return found


def brier(logits, labels) -> float:
    terms = []
    for row, label in zip(logits, labels, strict=True):
        p = probabilities(row)
        terms.append(math.fsum((p[c] - (c == label)) ** 2 for c in range(len(p))))
    return math.fsum(terms) / len(terms)


def in_bin(p: float, b: int, bins: int) -> bool:
    """(b/B, (b+1)/B], with 0 in the first."""
    above = p > b / bins or b == 0
    return above and p <= (b + 1) / bins


def ece(logits, labels, bins: int) -> float:
    pairs = confidences(logits, labels)
    total = 0.0
    for b in range(bins):
        inside = [(p, hit) for p, hit in pairs if in_bin(p, b, bins)]
        if inside:
            mean_p = math.fsum(p for p, _ in inside) / len(inside)
            mean_hit = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(mean_p - mean_hit)
    return total


def ece_mass(logits, labels, bins: int) -> float:
    """Right where no confidences are equal."""
    pairs = sorted(confidences(logits, labels))
    total = 0.0
    for inside in np.array_split(np.arange(len(pairs)), bins):
        total += abs(math.fsum(pairs[i][0] - pairs[i][1] for i in inside)) / len(pairs)
    return total


def classwise_ece(logits, labels, bins: int) -> float:
    p = np.array([probabilities(row) for row in logits])
    errors = []
    for c in range(p.shape[1]):
        for b in range(bins):
            inside = np.array([in_bin(float(v), b, bins) for v in p[:, c]])
            if inside.any():
                gap = p[inside, c].mean() - (np.asarray(labels)[inside] == c).mean()
                errors.append(inside.mean() * abs(gap))
    return math.fsum(errors) / p.shape[1]


def aurc(logits, labels) -> float:
    """Over all orders of what is tied: the expected error rate of the first k."""
    expected = _expected_errors(logits, labels)
    return float(sum(e / k for k, e in enumerate(expected, 1))) / len(expected)


def augrc(logits, labels) -> float:
    """The trapezoidal area under (k/n, errors among the first k / n)."""
    expected = [Fraction(0), *_expected_errors(logits, labels)]
    n = len(expected) - 1
    return float(sum((a + b) / 2 for a, b in pairwise(expected)) / n**2)


def _expected_errors(logits, labels) -> list[Fraction]:
    pairs = confidences(logits, labels)
    expected = []
    before = Fraction(0)
    for level in sorted({p for p, _ in pairs}, reverse=True):
        hits = [hit for p, hit in pairs if p == level]
        wrong = len(hits) - sum(hits)
        expected += [before + Fraction(wrong * k, len(hits)) for k in range(1, len(hits) + 1)]
        before += wrong
    return expected


def smooth_ece(logits, labels, num_points: int = 20_001) -> float:
    """A direct sum over reflected kernels, and bisection for the bandwidth."""
    pairs = confidences(logits, labels)
    f = np.array([p for p, _ in pairs])
    residual = np.array([hit for _, hit in pairs]) - f
    t = (np.arange(num_points) + 0.5) / num_points

    def at(sigma: float) -> float:
        smooth = np.zeros(num_points)
        images = range(-1 - math.ceil(4 * sigma), 2 + math.ceil(4 * sigma))
        for centre, r in zip(f, residual, strict=True):
            for k in images:
                for mirrored in (centre, -centre):
                    smooth += r * np.exp(-(((t - mirrored - 2 * k) / sigma) ** 2) / 2)
        return float(np.abs(smooth).mean() / (sigma * math.sqrt(2 * math.pi)) / len(f))

    low, high = 1e-4, 1.0
    for _ in range(28):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) > middle else (low, middle)
    return (low + high) / 2


def nll(logits, labels, temperature: float) -> float:
    terms = []
    for row, label in zip(logits, labels, strict=True):
        z = [float(v) / temperature for v in row]
        top = max(z)
        terms.append(top + math.log(math.fsum(math.exp(v - top) for v in z)) - z[label])
    return math.fsum(terms) / len(terms)
