"""The history's access log, counted the way the shipper counts requests: ten-second states with latency bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.demo.log_rows import EXCEPTIONS
from tiltmeter.demo.world import MODEL_NAME
from tiltmeter.domain.traffic import LATENCY_EDGES_MS
from tiltmeter.store.schema import TRAFFIC

if TYPE_CHECKING:
    from tiltmeter.demo.history import Scored

_WINDOW_US = 10_000_000


def traffic_rows(scored: Scored, host: str) -> pa.Table:
    """Rows of the `traffic` table.

    Args:
        scored: predictions; batch rows and the further rows of a list request are left out.
        host: under which the requests are counted.
    """
    rows = np.flatnonzero((scored.run < 0) & (scored.record <= 0))
    window = scored.time[rows] // _WINDOW_US
    version, route = scored.version.codes[rows], scored.route.codes[rows]
    status_class = scored.status[rows] // 100
    latency = np.searchsorted(np.array(LATENCY_EDGES_MS), scored.latency_ms[rows], side="left")
    order = np.lexsort((latency, status_class, route, version, window))
    keys = np.column_stack([window, version, route, status_class, latency])[order]
    cells = np.flatnonzero(_changes(keys))
    counts = np.diff(np.append(cells, keys.shape[0]))
    cell_keys = keys[cells]
    states = np.flatnonzero(_changes(cell_keys[:, :4]))
    offsets = np.append(states, cells.size)
    requests = np.add.reduceat(counts, states)
    state_keys = cell_keys[states]
    start = pa.array(state_keys[:, 0] * _WINDOW_US).cast(pa.timestamp("us", tz="UTC"))
    columns = {
        "window_date": pc.cast(start, pa.date32()),
        "window_start": start,
        "host": pa.repeat(pa.scalar(host), states.size),
        "model_name": pa.repeat(pa.scalar(MODEL_NAME), states.size),
        "model_version": pa.array(scored.version.names).take(pa.array(state_keys[:, 1])),
        "http_route": pa.array(scored.route.names).take(pa.array(state_keys[:, 2])),
        "code_class": pa.array([f"{number}xx" for number in range(6)]).take(pa.array(state_keys[:, 3])),
        "requests": pa.array(requests),
        "errors": pa.array(np.where(state_keys[:, 3] == 5, requests, 0)),
        "latency_bins": pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), pa.array(cell_keys[:, 4].astype(np.int32))
        ),
        "latency_counts": pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(counts)),
        **_error_columns(state_keys[:, 3], requests),
    }
    return pa.table([columns[name] for name in TRAFFIC.columns.names], schema=TRAFFIC.columns)


def _error_columns(status_class: np.ndarray, requests: np.ndarray) -> dict[str, pa.Array]:
    """What went wrong, per state: the world knows one failure of each class, so all requests of a state share it."""
    of_class = {status // 100: (status, name) for status, name in EXCEPTIONS.items()}
    found = [of_class.get(number) for number in status_class.tolist()]
    return {
        "error_statuses": pa.array(
            [[kind[0]] if kind else None for kind in found], TRAFFIC.columns.field("error_statuses").type
        ),
        "error_exceptions": pa.array(
            [[kind[1]] if kind else None for kind in found], TRAFFIC.columns.field("error_exceptions").type
        ),
        "error_counts": pa.array(
            [[n] if kind else None for kind, n in zip(found, requests.tolist(), strict=True)],
            TRAFFIC.columns.field("error_counts").type,
        ),
    }


def _changes(keys: np.ndarray) -> np.ndarray:
    """Where a sorted row differs from the one before; the first one does."""
    differs = np.any(keys[1:] != keys[:-1], axis=1)
    return np.concatenate([[True], differs])
