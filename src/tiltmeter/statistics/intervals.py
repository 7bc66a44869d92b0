"""Intervals of shares and tests of two shares."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betainc, ndtr, ndtri


def wilson(successes: float, trials: float, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's interval of a share.

    Args:
        successes: between 0 and trials.
        trials: observations.
        confidence: in (0, 1).

    Returns:
        Lower and upper end, both in [0, 1]; None without trials.

    Source: Wilson 1927, J. Amer. Statist. Assoc. 22, 209-212.
    """
    if trials <= 0:
        return None
    z = float(ndtri(0.5 + confidence / 2.0))
    share = successes / trials
    widened = 1.0 + z * z / trials
    middle = (share + z * z / (2.0 * trials)) / widened
    half = z / widened * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    # At 0 and at all successes an end is exact; rounding would leave it a last digit away.
    lower = 0.0 if successes <= 0 else max(0.0, middle - half)
    upper = 1.0 if successes >= trials else min(1.0, middle + half)
    return lower, upper


def difference(
    successes: float, trials: float, before: float, before_trials: float, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the difference of two independent shares, the first less the second.

    Two intervals that overlap say little: shares may differ by 1.4 times what chance explains and still overlap.

    Args:
        successes: of the first share, between 0 and trials.
        trials: observations of the first share.
        before: successes of the second share.
        before_trials: observations of the second share.
        confidence: in (0, 1).

    Returns:
        Lower and upper end, both in [-1, 1]; None where a side has no observations.

    Source: Newcombe 1998, Statistics in Medicine 17, 873-890, method 10 (from Wilson's intervals of both).
    """
    now, then = wilson(successes, trials, confidence=confidence), wilson(before, before_trials, confidence=confidence)
    if now is None or then is None:
        return None
    first, second = successes / trials, before / before_trials
    return (
        first - second - math.hypot(first - now[0], then[1] - second),
        first - second + math.hypot(now[1] - first, second - then[0]),
    )


def rise_p_value(before: float, before_trials: float, after: float, after_trials: float) -> float | None:
    """Chance of at least this rise of a share if nothing changed: the one-sided pooled two-proportion z test.

    Args:
        before: successes in the reference.
        before_trials: observations in the reference.
        after: successes in the window.
        after_trials: observations in the window.

    Returns:
        p in [0, 1]; 1.0 where both shares are 0 or both are 1, None where a side has no observations.
    """
    if before_trials <= 0 or after_trials <= 0:
        return None
    pooled = (before + after) / (before_trials + after_trials)
    spread = pooled * (1.0 - pooled) * (1.0 / before_trials + 1.0 / after_trials)
    if spread <= 0.0:
        return 1.0
    z = (after / after_trials - before / before_trials) / math.sqrt(spread)
    return float(ndtr(-z))


def rise_p_values(before: float, before_trials: float, after: np.ndarray, after_trials: np.ndarray) -> np.ndarray:
    """`rise_p_value` of many windows against one reference, NaN where a side has no observations."""
    if before_trials <= 0:
        return np.full(after.size, np.nan)
    trials = np.where(after_trials > 0, after_trials, np.nan)
    pooled = (before + after) / (before_trials + trials)
    spread = pooled * (1.0 - pooled) * (1.0 / before_trials + 1.0 / trials)
    moves = spread > 0.0
    z = (after / trials - before / before_trials) / np.sqrt(np.where(moves, spread, 1.0))
    return np.where(moves, ndtr(-z), np.where(np.isnan(trials), np.nan, 1.0))


def at_least_p_value(successes: int, trials: int, share: float) -> float:
    """P(Bin(trials, share) >= successes).

    Args:
        successes: observed, >= 0.
        trials: >= 0.
        share: under the null hypothesis; values outside [0, 1] are clipped.
    """
    if successes <= 0:
        return 1.0
    if successes > trials or share <= 0.0:
        return 0.0
    return float(betainc(successes, trials - successes + 1, min(1.0, share)))


def at_least_p_values(successes: np.ndarray, trials: np.ndarray, share: float) -> np.ndarray:
    """`at_least_p_value` of many windows."""
    is_certain, is_impossible = successes <= 0, (successes > trials) | (share <= 0.0)
    first = np.where(is_certain | is_impossible, 1, successes)
    second = np.where(is_certain | is_impossible, 1, trials - successes + 1)
    found = betainc(first.astype(np.float64), second.astype(np.float64), min(1.0, max(0.0, share)))
    return np.where(is_certain, 1.0, np.where(is_impossible, 0.0, found))
