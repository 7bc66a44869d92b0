"""Request counts in mergeable latency bins: the one mechanism behind live numbers, history and backtest."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EXACT_EDGES_MS = (5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)
"""Limits that are edges of the bins, so that "over 200 ms" is a count; also the buckets of the exported histogram."""


def _edges() -> tuple[float, ...]:
    # 2 % steps keep a percentile within 1 %; the exact edges make "over 200 ms" a count, not an estimate.
    edge, steps = 0.1, 0
    grid = set(EXACT_EDGES_MS)
    while edge < 120_000.0:
        grid.add(edge)
        steps += 1
        edge = 0.1 * 1.02**steps
    grid.add(120_000.0)
    return tuple(sorted(grid))


LATENCY_EDGES_MS = _edges()
"""Upper limits of the latency bins in milliseconds, right-closed; one more bin holds what is slower."""


def latency_bin(duration_ms: float) -> int:
    """Index of the bin `(edge[i-1], edge[i]]` that holds the duration."""
    return bisect_left(LATENCY_EDGES_MS, duration_ms)


class ErrorKind(NamedTuple):
    """What an answer of 4xx or 5xx was: its status, and the class of the exception behind it, empty where none is."""

    status: int
    exception: str = ""


MOST_ERROR_KINDS = 20
"""Kinds that one state tells apart; classes that a program makes up as it runs must not fill memory."""

LONGEST_EXCEPTION = 100
OTHER_EXCEPTIONS = "(other)"


def add_error_kinds(sums: dict[ErrorKind, int], more: Mapping[ErrorKind, int]) -> None:
    """Add counts to counts; beyond `MOST_ERROR_KINDS` an exception that is new counts as another one of its status."""
    for kind, requests in more.items():
        name = kind.exception[:LONGEST_EXCEPTION]
        known = ErrorKind(kind.status, name)
        if known not in sums and len(sums) >= MOST_ERROR_KINDS and _named(sums) >= MOST_ERROR_KINDS:
            known = ErrorKind(kind.status, OTHER_EXCEPTIONS)
        sums[known] = sums.get(known, 0) + requests


def _named(sums: Mapping[ErrorKind, int]) -> int:
    return sum(kind.exception != OTHER_EXCEPTIONS for kind in sums)


@dataclass(frozen=True, slots=True)
class TrafficState:
    """Requests of one ten-second window, route, version and code class. States of one key add.

    Args:
        window_start: aware UTC, a multiple of ten seconds.
        host: where they were counted.
        http_route: "POST /score"; the template, never the raw path.
        code_class: "2xx" … "5xx"; unhandled exceptions are "5xx".
        requests: number of requests.
        errors: 5xx and unhandled exceptions.
        latency: requests per latency bin, sparse.
        error_kinds: answers of 4xx and 5xx by what they were.
    """

    window_start: datetime
    host: str
    model_name: str
    model_version: str
    http_route: str
    code_class: str
    requests: int
    errors: int
    latency: Mapping[int, int]
    error_kinds: Mapping[ErrorKind, int] = field(default_factory=dict)
