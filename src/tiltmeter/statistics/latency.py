"""Percentiles and shares from the mergeable latency bins."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from tiltmeter.domain.traffic import LATENCY_EDGES_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

_STEP = 1.02
"""Ratio of neighbouring edges; gives the open first bin a lower end."""


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Latency with at least that share of the requests at or below it, within 1 % of exact.

    Args:
        counts: requests per bin of `domain.traffic`, sparse.
        share: in (0, 1].

    Returns:
        Milliseconds: the geometric middle of the bin that holds the rank; the last edge for what is slower than all
        edges. None without requests, which is not zero latency.
    """
    requests = sum(counts.values())
    if requests < 1:
        return None
    # The rank is a whole number: a relative 1e-12 keeps 0.07 · 100 = 7.000000000000001 at rank 7.
    rank = max(1, math.ceil(share * requests * (1.0 - 1e-12)))
    below, found = 0, 0
    for position in sorted(counts):
        if counts[position] < 1:
            continue
        below, found = below + counts[position], position
        if below >= rank:
            break
    return bin_middle(found)


def bin_middle(position: int) -> float:
    """Geometric middle of a latency bin in milliseconds; the last edge for the open last bin."""
    if position >= len(LATENCY_EDGES_MS):
        return LATENCY_EDGES_MS[-1]
    upper = LATENCY_EDGES_MS[position]
    lower = LATENCY_EDGES_MS[position - 1] if position > 0 else upper / _STEP
    return math.sqrt(lower * upper)


def share_within(counts: Mapping[int, int], limit_ms: float) -> float | None:
    """Share of requests that took at most the limit: exact where the limit is a bin edge, as 200 and 500 ms are.

    Between two edges the bin that holds the limit is left out, so the share is never flattering. None without requests.
    """
    requests = sum(counts.values())
    if requests < 1:
        return None
    whole_bins = bisect_right(LATENCY_EDGES_MS, limit_ms)
    return sum(rows for position, rows in counts.items() if position < whole_bins) / requests
