"""Traffic of the history in memory, as arrays: a live rule's span is a sum over a slice, not over objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tiltmeter.demo.world import microseconds, moment_of
from tiltmeter.domain.traffic import TrafficState
from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.window import Window

_KEY = ("host", "model_name", "model_version", "http_route", "code_class")


@dataclass(frozen=True, slots=True, eq=False)
class StillTraffic:
    """Rows of the `traffic` table in order of time, one array entry a latency cell.

    Args:
        keys: host, model, version, route and code class.
        time: start of the ten-second window in microseconds, per cell; ascending.
        key: position in `keys`, per cell.
        bin: latency bin, per cell.
        count: requests, per cell.
    """

    keys: tuple[tuple[str, ...], ...]
    time: np.ndarray
    key: np.ndarray
    bin: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> StillTraffic:
        """Read rows of the table."""
        table = pa.Table.from_batches(list(batches)).sort_by("window_start").combine_chunks()
        names = list(zip(*(table[column].to_pylist() for column in _KEY), strict=True))
        keys = tuple(sorted(set(names)))
        place = {key: position for position, key in enumerate(keys)}
        bins, counts = table["latency_bins"].combine_chunks(), table["latency_counts"].combine_chunks()
        cells = np.asarray(bins.value_lengths())
        return cls(
            keys,
            np.repeat(np.asarray(table["window_start"].cast(pa.int64())), cells),
            np.repeat(np.array([place[key] for key in names]), cells),
            np.asarray(bins.flatten()),
            np.asarray(counts.flatten()),
        )

    def states(self, model: str, window: Window) -> list[TrafficState]:
        """States of the window: ten-second ones for calendar windows, one sum a key for live spans."""
        first, last = np.searchsorted(self.time, [microseconds(window.start), microseconds(window.end)])
        time = self.time[first:last]
        if window.grain is Grain.LIVE:
            time = np.full(time.size, microseconds(window.start))
        cells = np.column_stack([time, self.key[first:last], self.bin[first:last]])
        found, place = np.unique(cells, axis=0, return_inverse=True)
        counts = np.bincount(place.reshape(-1), weights=self.count[first:last]).astype(np.int64)
        latency: dict[tuple[int, int], dict[int, int]] = {}
        for (start, key, position), count in zip(found.tolist(), counts.tolist(), strict=True):
            latency.setdefault((start, key), {})[position] = count
        return [
            self._state(start, self.keys[key], bins)
            for (start, key), bins in latency.items()
            if self.keys[key][1] == model
        ]

    def _state(self, start: int, key: tuple[str, ...], bins: dict[int, int]) -> TrafficState:
        host, model, version, route, code_class = key
        requests = sum(bins.values())
        errors = requests if code_class == "5xx" else 0
        return TrafficState(moment_of(start), host, model, version, route, code_class, requests, errors, bins)
