"""What a column is, from its Arrow type and its values: numbers stay numeric, few values with two names are boolean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import types

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.profiling.arrow_columns import encoded, family, number_column, parsed_numbers, python_values
from tiltmeter.profiling.buffers import positions_array
from tiltmeter.profiling.plain_arrays import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_LEVELS = 1_000
"""Text or identifier: more levels than this, and more than half of the values distinct."""

_FIRST_ROWS = 200
"""Rows that tell most columns of numbers from flags, without a look at the rest."""


def inferred_kind(array: pa.Array, missing: Sequence[object] = ()) -> FeatureKind:
    """The kind of a column.

    Args:
        array: values of the baseline (or a sample of them).
        missing: values that are declared to mean "missing".
    """
    array = plain(array)
    found = family(array.type)
    if found == "datetime":
        return FeatureKind.DATETIME
    if found == "boolean":
        return FeatureKind.BOOLEAN
    if found == "numeric":
        return FeatureKind.BOOLEAN if _is_zero_and_one(array, missing) else FeatureKind.NUMERIC
    if found == "any" or array.null_count == len(array):
        return FeatureKind.CATEGORICAL
    if missing and not types.is_nested(array.type) and parsed_numbers(array, missing) is not None:
        return FeatureKind.NUMERIC
    return _text_kind(array, missing)


def starts_without_flags(array: pa.Array, missing: Sequence[object] = ()) -> bool:
    """Whether the first rows of a column of numbers hold one that is neither 0 nor 1."""
    first = _present(array.slice(0, _FIRST_ROWS), missing)
    return bool(np.count_nonzero((first != 0.0) & (first != 1.0)))


def _is_zero_and_one(array: pa.Array, missing: Sequence[object]) -> bool:
    if types.is_decimal(array.type) or types.is_time(array.type) or types.is_duration(array.type):
        return False
    if starts_without_flags(array, missing):
        return False
    values = _present(array, missing)
    if values.size < 2 or values.min() != 0.0 or values.max() != 1.0:
        return False
    return bool(np.all((values == 0.0) | (values == 1.0)))


def _present(array: pa.Array, missing: Sequence[object]) -> np.ndarray:
    return number_column(array, missing).known()


def _text_kind(array: pa.Array, missing: Sequence[object]) -> FeatureKind:
    codes, dictionary = encoded(array)
    per_code = np.bincount(codes + 1, minlength=1)[1:]
    levels = np.flatnonzero(per_code)
    if levels.size > TEXT_LEVELS and 2 * levels.size > per_code.sum():
        return FeatureKind.TEXT
    if levels.size > 2 + len(missing):
        return FeatureKind.CATEGORICAL
    names = {str(name).lower() for name in python_values(dictionary.take(positions_array(levels)))}
    names -= {str(value).lower() for value in missing}
    return FeatureKind.BOOLEAN if names and names <= {"true", "false"} else FeatureKind.CATEGORICAL
