"""Profiles as rows of the `profile_states` table: one row a feature, and one of feature "" for the window itself."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa

from tiltmeter.domain.errors import DataError
from tiltmeter.domain.profile import KERNEL_VERSION, Profile
from tiltmeter.domain.window import Grain
from tiltmeter.profiling.codec import encode_plain, encode_window
from tiltmeter.store.schema import PROFILE_STATES
from tiltmeter.store.state_days import DAY, HOUR
from tiltmeter.store.state_files import Slice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.ports import StateKey


def hour_rows(
    states: Mapping[StateKey, Profile],
    source_version: int | None,
    generations: Mapping[tuple[str, str, datetime], int],
    *,
    now: datetime,
) -> pa.Table:
    """Rows of hours that are appended.

    Args:
        states: hour, version and segment -> profile.
        source_version: of the table they were read from; None outside of a followed table.
        generations: (model, bins, hour) -> generation in force, of hours that were ever replaced.
        now: time of ingestion.
    """
    rows = []
    done: dict[int, list[tuple[str, bytes]]] = {}  # one profile may stand under several keys
    for key, profile in states.items():
        generation = generations.get((key.model_name, key.bins_id, key.window_start.astimezone(UTC)), 0)
        if id(profile) not in done:
            done[id(profile)] = encoded(profile)
        source = {"source_version": source_version}
        rows += [
            state_row(key, name, state, generation=generation, now=now) | source for name, state in done[id(profile)]
        ]
    return arrow_rows(rows)


def state_row(key: StateKey, feature: str, state: bytes, *, generation: int, now: datetime) -> dict[str, object]:
    """One feature of one hour.

    Raises:
        DataError: the key is not that of an hour.
    """
    if key.grain is not Grain.HOUR:
        raise DataError(f"states are stored by hour, not by {key.grain}")
    wanted = Slice(key.model_name, key.bins_id, key.model_version, key.segment_key, key.segment_value)
    return slice_row(wanted, HOUR, key.window_start, feature, state, now=now) | {"generation": generation}


def slice_row(
    wanted: Slice, grain: str, start: datetime, feature: str, state: bytes, *, now: datetime
) -> dict[str, object]:
    """One feature of one hour or day, of generation 0."""
    day = start.astimezone(UTC).date()
    return {
        "window_date": day.replace(day=1) if grain == DAY else day,
        "grain": grain,
        "window_start": start,
        "model_name": wanted.model,
        "model_version": wanted.version,
        "segment_key": wanted.segment_key,
        "segment_value": wanted.segment_value,
        "feature": feature,
        "bins_id": wanted.bins_id,
        "kernel_version": KERNEL_VERSION,
        "source_version": None,
        "generation": 0,
        "state": state,
        "ingest_time": now,
    }


def encoded(profile: Profile) -> list[tuple[str, bytes]]:
    """(feature, state) of the window itself and of every feature."""
    return [("", encode_window(profile)), *((n, encode_plain(p)) for n, p in profile.features.items())]


def arrow_rows(rows: list[dict[str, object]]) -> pa.Table:
    """Rows as the table has them."""
    return pa.Table.from_pylist(rows, schema=PROFILE_STATES.columns)
