"""Values that are declared to mean "missing", as a column of each type holds them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from pyarrow import types

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.profiling.clocks import is_clock, moment_in_microseconds, seconds_in, seconds_of
from tiltmeter.profiling.names import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa


def numbers_among(values: Sequence[object], data_type: pa.DataType) -> list[float]:
    """Those of the values that are numbers or moments, as a column of the type holds them.

    0.1 is another float32 than double; a number is the seconds of a moment.
    """
    numbers = []
    short = np.float16 if types.is_float16(data_type) else np.float32 if types.is_float32(data_type) else np.float64
    for value in values:
        seconds = seconds_in(value, data_type) if is_clock(data_type) else None
        if seconds is not None:
            numbers.append(seconds)
            continue
        try:
            with np.errstate(over="ignore"):
                number, held = float(value), float(short(value))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            continue
        if np.isinf(held) == np.isinf(number):  # else it is beyond what the column can hold
            numbers.append(held)
    return numbers


def moments_among(values: Sequence[object]) -> list[object]:
    """Those of the values that are moments: in a column of texts a number is a word, and no number of seconds."""
    return [value for value in values if moment_in_microseconds(value) is not None]


def is_declared_moment(array: pa.Array, missing: Sequence[object]) -> np.ndarray:
    """Whether each value of a column of moments is one of these; their names differ by the column's type."""
    if not missing or not is_clock(array.type):
        return np.zeros(len(array), dtype=bool)
    return np.isin(seconds_of(array), numbers_among(missing, array.type))


def mean_the_same(values: Sequence[object], others: Sequence[object], kind: FeatureKind) -> bool:
    """Whether two lists take the same values of a column for missing: 999 and 999.0 do among numbers."""
    return {_form(value, kind) for value in values} == {_form(value, kind) for value in others}


def _form(value: object, kind: FeatureKind) -> str:
    if not kind.is_binned:
        return name_of(value, boolean=kind is FeatureKind.BOOLEAN)
    moment = moment_in_microseconds(value) if kind is FeatureKind.DATETIME else None
    if moment is not None:
        return f"{moment} µs"
    try:
        number = value.total_seconds() if isinstance(value, timedelta) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return name_of(number, boolean=False)
