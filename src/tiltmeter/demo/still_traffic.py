"""Traffic of the history in memory, as arrays: a live rule's span is a sum over a slice, not over objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tiltmeter.demo.world import microseconds, moment_of
from tiltmeter.domain.traffic import LATENCY_EDGES_MS, ErrorKind, TrafficState, add_error_kinds
from tiltmeter.domain.window import Grain
from tiltmeter.store.traffic import error_kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.window import Window

_BINS = len(LATENCY_EDGES_MS) + 1
_MANY_CELLS = 40
"""From so many cells on, sorting them first is quicker than adding them one by one."""

_KEY = ("host", "model_name", "model_version", "http_route", "code_class")
_ERRORS = ["error_statuses", "error_exceptions", "error_counts"]


@dataclass(frozen=True, slots=True, eq=False)
class StillTraffic:
    """Rows of the `traffic` table in order of time, one array entry a latency cell.

    Args:
        keys: host, model, version, route and code class.
        time: start of the ten-second window in microseconds, per cell; ascending.
        key: position in `keys`, per cell.
        bin: latency bin, per cell.
        count: requests, per cell.
        error_time: start of the ten-second window in microseconds, per row with errors; ascending.
        errors: position in `keys` and what the errors were, likewise.
    """

    keys: tuple[tuple[str, ...], ...]
    time: np.ndarray
    key: np.ndarray
    bin: np.ndarray
    count: np.ndarray
    error_time: np.ndarray
    errors: tuple[tuple[int, dict[ErrorKind, int]], ...]
    _kept: dict[Window, list[TrafficState]] = field(default_factory=dict)

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> StillTraffic:
        """Read rows of the table."""
        table = pa.Table.from_batches(list(batches)).sort_by("window_start").combine_chunks()
        names = list(zip(*(table[column].to_pylist() for column in _KEY), strict=True))
        keys = tuple(sorted(set(names)))
        place = {key: position for position, key in enumerate(keys)}
        bins, counts = table["latency_bins"].combine_chunks(), table["latency_counts"].combine_chunks()
        cells = np.asarray(bins.value_lengths())
        time = np.asarray(table["window_start"].cast(pa.int64()))
        is_error = np.asarray(table["error_counts"].is_valid())
        of_key = np.array([place[key] for key in names], dtype=np.int64)
        failed = table.select(_ERRORS).filter(pa.array(is_error)).to_pylist()
        return cls(
            keys,
            np.repeat(time, cells),
            np.repeat(of_key, cells),
            np.asarray(bins.flatten()),
            np.asarray(counts.flatten()),
            time[is_error],
            tuple(zip(of_key[is_error].tolist(), map(error_kinds_of, failed), strict=True)),
        )

    def states(self, model: str, window: Window) -> list[TrafficState]:
        """States of the window: ten-second ones for calendar windows, one sum a key for live spans."""
        if window.grain is not Grain.LIVE:
            return self._read(model, window)
        # Several rules ask for the same span at the same moment, and never again later.
        if self._kept and next(iter(self._kept)).end < window.end:
            self._kept.clear()
        if window not in self._kept:
            self._kept[window] = self._read(model, window)
        return self._kept[window]

    def _read(self, model: str, window: Window) -> list[TrafficState]:
        first, last = np.searchsorted(self.time, [microseconds(window.start), microseconds(window.end)])
        cell = self.key[first:last] * _BINS + self.bin[first:last]
        count = self.count[first:last]
        if window.grain is Grain.LIVE:
            start, end = microseconds(window.start), microseconds(window.end)
            found = self._summed(start, cell, count, self._errors(start, end))
        else:
            time = self.time[first:last]
            edges = [0, *(np.flatnonzero(np.diff(time)) + 1).tolist(), time.size]
            found = [
                state
                for a, b in pairwise(edges)
                if a < b
                for state in self._summed(
                    int(time[a]), cell[a:b], count[a:b], self._errors(int(time[a]), int(time[a]) + 1)
                )
            ]
        return [state for state in found if state.model_name == model]

    def _errors(self, start: int, end: int) -> dict[int, dict[ErrorKind, int]]:
        """What the errors of a span were, by position in `keys`."""
        first, last = np.searchsorted(self.error_time, [start, end]).tolist()
        found: dict[int, dict[ErrorKind, int]] = {}
        for key, kinds in self.errors[first:last]:
            add_error_kinds(found.setdefault(key, {}), kinds)
        return found

    def _summed(
        self, start: int, cell: np.ndarray, count: np.ndarray, errors: dict[int, dict[ErrorKind, int]]
    ) -> list[TrafficState]:
        if cell.size > _MANY_CELLS:
            cell, place = np.unique(cell, return_inverse=True)
            count = np.bincount(place, weights=count).astype(np.int64)
        latency: dict[int, dict[int, int]] = {}
        for position, requests in zip(cell.tolist(), count.tolist(), strict=True):
            key, place_in_key = divmod(position, _BINS)
            bins = latency.setdefault(key, {})
            bins[place_in_key] = bins.get(place_in_key, 0) + requests
        return [self._state(start, key, bins, errors.get(key, {})) for key, bins in sorted(latency.items())]

    def _state(self, start: int, key: int, bins: dict[int, int], kinds: dict[ErrorKind, int]) -> TrafficState:
        host, model, version, route, code_class = self.keys[key]
        requests = sum(bins.values())
        errors = requests if code_class == "5xx" else 0
        return TrafficState(moment_of(start), host, model, version, route, code_class, requests, errors, bins, kinds)
