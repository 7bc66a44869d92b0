"""How well scores told customers from the rest: from rows, or from counts per score bin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtri

from tiltmeter.statistics.intervals import wilson

_WHOLE_PAIRS = 2**61
"""Below it twice the number of pairs fits into 64 bits; beyond it Python's own integers add up."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; the ends are None where no interval can be given."""

    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """Leads by what was predicted and what came true.

    Args:
        true_positive: predicted customers that converted.
        false_positive: predicted customers that did not.
        false_negative: customers that were not predicted.
        true_negative: the rest.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    def precision(self) -> Estimate | None:
        """Of the leads predicted to convert, the share that did; None where none was predicted."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    def recall(self) -> Estimate | None:
        """Of the customers, the share that was predicted; None without customers."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 2TP / (2TP + FP + FN); None without customers and predictions."""
        below = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / below if below else None


def _share(part: int, whole: int) -> Estimate | None:
    interval = wilson(part, whole)
    return None if interval is None else Estimate(part / whole, *interval)


def confusion(scores: np.ndarray, converted: np.ndarray, threshold: float) -> Confusion:
    """Count leads at a threshold.

    Args:
        scores: shape (leads,); NaN counts as not predicted.
        converted: bool, shape (leads,).
        threshold: from here on a lead counts as a predicted customer.
    """
    predicted = np.asarray(scores) >= threshold
    hit = int(np.count_nonzero(predicted & converted))
    called, customers = int(np.count_nonzero(predicted)), int(np.count_nonzero(converted))
    return Confusion(hit, called - hit, customers - hit, predicted.size - called - customers + hit)


def auc(scores: np.ndarray, converted: np.ndarray) -> Estimate | None:
    """Chance that a customer scored higher than a lead that did not buy, ties half.

    Args:
        scores: shape (leads,), without NaN.
        converted: bool, shape (leads,).

    Returns:
        With the interval of Hanley and McNeil; None where all or none converted.

    Source: Hanley and McNeil 1982, Radiology 143, 29-36.
    """
    values, positions = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    customers = np.bincount(positions[converted], minlength=values.size)
    others = np.bincount(positions[~converted], minlength=values.size)
    return auc_from_bins(customers, others)


def auc_from_bins(customers: np.ndarray, others: np.ndarray) -> Estimate | None:
    """As `auc`, from rows per ascending score bin; leads in one bin count as ties.

    Args:
        customers: converted leads per bin.
        others: leads that did not convert, same bins.
    """
    positives, negatives = int(customers.sum()), int(others.sum())
    if positives == 0 or negatives == 0:
        return None
    # Twice the number of won pairs stays a whole number: a win counts 2, a tie 1.
    whole = np.int64 if positives * negatives < _WHOLE_PAIRS else object
    won, tied = np.asarray(customers).astype(whole), np.asarray(others).astype(whole)
    doubled = int(np.dot(won, 2 * (np.cumsum(tied) - tied) + tied))
    area = doubled / (2 * positives * negatives)
    by_positives, by_negatives = area / (2.0 - area), 2.0 * area * area / (1.0 + area)
    variance = (
        area * (1.0 - area)
        + (positives - 1) * (by_positives - area * area)
        + (negatives - 1) * (by_negatives - area * area)
    ) / (positives * negatives)
    half = float(ndtri(0.975)) * math.sqrt(max(0.0, variance))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def brier(scores: np.ndarray, converted: np.ndarray) -> float | None:
    """Mean squared error of the predicted probabilities, in [0, 1]; None without leads.

    Args:
        scores: probabilities, shape (leads,).
        converted: bool, shape (leads,).

    Source: Brier 1950, Mon. Weather Rev. 78, 1-3.
    """
    if len(scores) == 0:
        return None
    return math.fsum(((np.asarray(scores, dtype=np.float64) - converted) ** 2).tolist()) / len(scores)


def calibration(scores: np.ndarray, converted: np.ndarray) -> Estimate | None:
    """Conversions observed against expected, O/E; 1 is perfect, below 1 the scores promise too much.

    Args:
        scores: probabilities, shape (leads,).
        converted: bool, shape (leads,).

    Returns:
        O/E ± 1.96·√(Σ p(1 − p))/E, the spread that perfect scores leave; None where nothing was expected, or
        so little that the ratio is no number any more.

    Source: Spiegelhalter 1986, Stat. Med. 5, 421-433.
    """
    probabilities = np.asarray(scores, dtype=np.float64)
    expected = math.fsum(probabilities.tolist())
    if expected <= 0.0:
        return None
    ratio = int(np.count_nonzero(converted)) / expected
    half = float(ndtri(0.975)) * math.sqrt(max(0.0, math.fsum((probabilities * (1.0 - probabilities)).tolist())))
    upper = ratio + half / expected
    return Estimate(ratio, max(0.0, ratio - half / expected), upper) if math.isfinite(upper) else None


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Leads of similar scores: how many, what they were promised on average, and what came true."""

    leads: int
    predicted: float
    observed: Estimate


def calibration_curve(scores: np.ndarray, converted: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """Predicted against observed conversion by equal groups of rising score; equal scores stay in one group.

    Args:
        scores: probabilities, shape (leads,).
        converted: bool, shape (leads,).
        bins: groups at most.
    """
    order = np.argsort(scores, kind="stable")
    ordered, won = np.asarray(scores, dtype=np.float64)[order], np.asarray(converted)[order]
    cuts = {0, ordered.size}
    for step in range(1, bins):
        cuts.add(
            int(np.searchsorted(ordered, ordered[step * ordered.size // bins], side="left")) if ordered.size else 0
        )
    limits = sorted(cuts)
    curve = []
    for start, stop in pairwise(limits):
        observed = _share(int(np.count_nonzero(won[start:stop])), stop - start)
        if observed is not None:
            curve.append(
                CalibrationBin(stop - start, math.fsum(ordered[start:stop].tolist()) / (stop - start), observed)
            )
    return curve
