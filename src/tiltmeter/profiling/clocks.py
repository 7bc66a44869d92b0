"""Moments, days, times of day and durations as the seconds that cells hold."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np
from pyarrow import types

from tiltmeter.profiling.buffers import values_as
from tiltmeter.profiling.hashing import hash_doubles, mixed

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def is_clock(data_type: pa.DataType) -> bool:
    """Whether a column of the type holds moments, days, times of day or durations."""
    return bool(
        types.is_timestamp(data_type)
        or types.is_date(data_type)
        or types.is_duration(data_type)
        or types.is_time(data_type)
    )


def seconds_of(array: pa.Array) -> np.ndarray:
    """Seconds since 1970, since midnight, or of the duration: float64; anything in null slots."""
    if types.is_date32(array.type):
        return values_as(array, np.dtype(np.int32)).astype(np.float64) * float(_DAY)
    width = np.int32 if types.is_time32(array.type) else np.int64
    return values_as(array, np.dtype(width)).astype(np.float64) / float(_per_second(array.type))


def hashes_of_nanoseconds(array: pa.Array, seconds: np.ndarray) -> np.ndarray | None:
    """Hashes of moments that doubles do not tell apart: those between two microseconds; None where there are none."""
    if getattr(array.type, "unit", "") != "ns":
        return None
    raw = values_as(array, np.dtype(np.int64))
    between = raw % 1_000 != 0
    return np.where(between, mixed(raw.view(np.uint64)), hash_doubles(seconds)) if between.any() else None


def seconds_in(value: object, data_type: pa.DataType) -> float | None:
    """A moment, day, time of day or duration as `seconds_of` gives it for such a column; None where it is none.

    Args:
        value: an object, or its ISO 8601 text; a moment without an offset is in UTC.
        data_type: of a clock; what it cannot hold to the last digit is None too.
    """
    micros = _microseconds(value, data_type)
    if micros is None:
        return None
    per_second = 1 if types.is_date32(data_type) else _per_second(data_type)
    tick = 1_000_000 * (_DAY if types.is_date32(data_type) else 1)
    ticks, rest = divmod(micros * per_second, tick)
    if rest or not -(2**63) <= ticks < 2**63:
        return None
    return float(ticks) * _DAY if types.is_date32(data_type) else float(ticks) / per_second


def moment_in_microseconds(value: object) -> int | None:
    """Microseconds since 1970 of a moment, a day or its ISO 8601 text, in UTC without an offset; None if it is none."""
    try:
        if isinstance(value, np.datetime64):
            value = value.astype("datetime64[us]").item()
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if not isinstance(value, datetime):
            return None
        return int(((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND)
    except (TypeError, ValueError, OverflowError):  # other text, or the "not a time" of a data frame
        return None


def _microseconds(value: object, data_type: pa.DataType) -> int | None:
    if types.is_timestamp(data_type) or types.is_date(data_type):
        return moment_in_microseconds(value)
    if types.is_duration(data_type):
        return value // _MICROSECOND if isinstance(value, timedelta) else None
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, time):
        return None
    return ((found.hour * 60 + found.minute) * 60 + found.second) * 1_000_000 + found.microsecond


def _per_second(data_type: pa.DataType) -> int:
    return _PER_SECOND["ms" if types.is_date64(data_type) else data_type.unit]
