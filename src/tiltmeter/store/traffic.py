"""Traffic states as rows of the `traffic` table and back, and traffic of tables that hold only predictions."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from tiltmeter.domain.request import route_name
from tiltmeter.domain.traffic import LATENCY_EDGES_MS, ErrorKind, TrafficState, add_error_kinds, latency_bin
from tiltmeter.store.schema import TRAFFIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

WINDOW = timedelta(seconds=10)
ERROR_FROM = 400
"""Least status of an answer that is counted by what it was."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TrafficKey(NamedTuple):
    """What requests are counted by; `second` is the epoch second at which the ten-second window starts."""

    second: int
    host: str
    model_name: str
    model_version: str
    http_route: str
    code_class: str


class TrafficCounts:
    """Requests added up by key. Adding is commutative, so segments may be counted in any order."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[TrafficKey, _Sum] = {}

    def __bool__(self) -> bool:
        """Whether any request was counted."""
        return bool(self._sums)

    def __len__(self) -> int:
        """Number of different keys."""
        return len(self._sums)

    def count(self, key: TrafficKey, *, duration_ms: float, failed: bool, error: ErrorKind | None = None) -> None:
        """One request more."""
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum()
        found.requests += 1
        found.errors += failed
        found.latency[latency_bin(duration_ms)] += 1
        if error is not None:
            add_error_kinds(found.error_kinds, {error: 1})

    def count_all(
        self,
        key: TrafficKey,
        durations_us: Sequence[int],
        *,
        failed: bool,
        errors: Mapping[ErrorKind, int] = MappingProxyType({}),
    ) -> None:
        """Many requests of one key.

        Args:
            key: of all of them.
            durations_us: microseconds that each took.
            failed: whether they count as errors.
            errors: of them, answers of 4xx and 5xx by what they were.
        """
        bins = np.searchsorted(LATENCY_EDGES_MS, np.asarray(durations_us, dtype=np.float64) / 1000.0, side="left")
        latency = {int(place): int(rows) for place, rows in zip(*np.unique(bins, return_counts=True), strict=True)}
        number = len(durations_us)
        self._sums.setdefault(key, _Sum()).add(number, number if failed else 0, latency, errors)

    def add(self, other: TrafficCounts) -> None:
        """All requests of another count."""
        for key, theirs in other._sums.items():
            self._sums.setdefault(key, _Sum()).add(theirs.requests, theirs.errors, theirs.latency, theirs.error_kinds)

    def add_state(self, state: TrafficState) -> None:
        """All requests of a state."""
        second = int((state.window_start - _EPOCH).total_seconds())
        key = TrafficKey(second, state.host, state.model_name, state.model_version, state.http_route, state.code_class)
        found = self._sums.setdefault(key, _Sum())
        found.add(state.requests, state.errors, state.latency, state.error_kinds)

    def forget_before(self, second: int) -> None:
        """Drop windows that start before an epoch second."""
        self._sums = {key: found for key, found in self._sums.items() if key.second >= second}

    def states(self) -> list[TrafficState]:
        """One state a key, by time."""
        return [
            TrafficState(
                window_start=_EPOCH + timedelta(seconds=key.second),
                host=key.host,
                model_name=key.model_name,
                model_version=key.model_version,
                http_route=key.http_route,
                code_class=key.code_class,
                requests=found.requests,
                errors=found.errors,
                latency=dict(found.latency),
                error_kinds=dict(found.error_kinds),
            )
            for key, found in sorted(self._sums.items())
        ]


class _Sum:
    __slots__ = ("error_kinds", "errors", "latency", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.latency: Counter[int] = Counter()
        self.error_kinds: dict[ErrorKind, int] = {}

    def add(self, requests: int, errors: int, latency: Mapping[int, int], error_kinds: Mapping[ErrorKind, int]) -> None:
        self.requests += requests
        self.errors += errors
        for position, rows in latency.items():
            self.latency[position] += rows
        if error_kinds:
            add_error_kinds(self.error_kinds, error_kinds)


def window_second(time_us: int) -> int:
    """Epoch second at which the ten-second window of a moment starts."""
    return time_us // 10_000_000 * 10


def code_class(status: int | None) -> str:
    """`2xx` … `5xx`; a request without an answer counts as `5xx`."""
    return f"{status // 100}xx" if status is not None and 100 <= status <= 599 else "5xx"


def traffic_table(states: Iterable[TrafficState]) -> pa.Table:
    """Rows of the `traffic` table."""
    rows = [
        {
            "window_date": state.window_start.date(),
            "window_start": state.window_start,
            "host": state.host,
            "model_name": state.model_name,
            "model_version": state.model_version,
            "http_route": state.http_route,
            "code_class": state.code_class,
            "requests": state.requests,
            "errors": state.errors,
            "latency_bins": sorted(state.latency),
            "latency_counts": [state.latency[position] for position in sorted(state.latency)],
            **_error_columns(state),
        }
        for state in states
    ]
    return pa.Table.from_pylist(rows, schema=TRAFFIC.columns)


def _error_columns(state: TrafficState) -> dict[str, list[int] | list[str]]:
    if not state.error_kinds:
        return {}
    kinds = sorted(state.error_kinds)
    return {
        "error_statuses": [kind.status for kind in kinds],
        "error_exceptions": [kind.exception for kind in kinds],
        "error_counts": [state.error_kinds[kind] for kind in kinds],
    }


def error_kinds_of(row: Mapping[str, Any]) -> dict[ErrorKind, int]:
    """What the errors of a row of the `traffic` table were; empty for rows of tables that did not know it yet."""
    if not row.get("error_counts"):
        return {}
    kinds = map(ErrorKind, row["error_statuses"], row["error_exceptions"])
    return dict(zip(kinds, row["error_counts"], strict=True))


def states_of(batches: Iterable[pa.RecordBatch]) -> list[TrafficState]:
    """States of rows of the `traffic` table, partials of one key added."""
    counts = TrafficCounts()
    for batch in batches:
        for row in batch.to_pylist():
            counts.add_state(
                TrafficState(
                    window_start=row["window_start"].astimezone(UTC),
                    host=row["host"],
                    model_name=row["model_name"],
                    model_version=row["model_version"] or "",
                    http_route=row["http_route"],
                    code_class=row["code_class"],
                    requests=row["requests"],
                    errors=row["errors"],
                    latency=dict(zip(row["latency_bins"], row["latency_counts"], strict=True)),
                    error_kinds=error_kinds_of(row),
                )
            )
    return counts.states()


DERIVED_COLUMNS = (
    "request_time",
    "model_name",
    "model_version",
    "http_method",
    "http_route",
    "status_code",
    "error_type",
    "execution_duration_ms",
    "record_index",
    "source",
)
"""Columns of `predictions` that traffic is derived from."""


def derive(batches: Iterable[pa.RecordBatch], host: str) -> TrafficCounts:
    """Traffic of prediction rows, as the shipper would have counted it: rows whose record index is null or 0."""
    counts = TrafficCounts()
    for row in _requests(batches):
        second = window_second((row["request_time"] - _EPOCH) // timedelta(microseconds=1))
        status = row["status_code"]
        key = TrafficKey(
            second,
            host,
            row["model_name"],
            row["model_version"] or "",
            route_name(row["http_method"], row["http_route"]) if row["http_method"] else row["http_route"],
            code_class(status),
        )
        error = ErrorKind(status, row["error_type"] or "") if status is not None and status >= ERROR_FROM else None
        failed = key.code_class == "5xx"
        counts.count(key, duration_ms=row["execution_duration_ms"], failed=failed, error=error)
    return counts


def _requests(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        for row in batch.to_pylist():
            is_request = row["http_route"] is not None and row["execution_duration_ms"] is not None
            if is_request and not row["record_index"]:
                yield row
