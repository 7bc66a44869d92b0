"""Columns of every type that Arrow has, with values that Python has no objects for, alone and inside of others."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np
import pyarrow as pa

ROWS = 402


def _whole(start: int, data_type: pa.DataType, different: int = 3) -> pa.Array:
    """So many different integers, seen as another type of their width."""
    width = pa.int32() if data_type.bit_width == 32 else pa.int64()
    return pa.array([start + row % different for row in range(ROWS)], width).view(data_type)


def _text(of: pa.DataType) -> pa.Array:
    held = pa.array([b"\xff\xfe", b"a", b"\xf0"] * (ROWS // 3), pa.binary())
    return pa.Array.from_buffers(of, ROWS, held.buffers())


def _flat() -> dict[str, pa.Array]:
    return {
        "days beyond year 9999": _whole(3_000_000, pa.date32()),
        "milliseconds beyond any day": _whole(10**17, pa.date64()),
        "seconds beyond any day": _whole(2**61, pa.timestamp("s")),
        "nanoseconds": _whole(1_790_000_000_123_456_789, pa.timestamp("ns")),
        "a zone that does not exist": _whole(1_790_000_000_123_456, pa.timestamp("us", "Nowhere/Land")),
        "a long while": _whole(2**62, pa.duration("s")),
        "later than midnight": _whole(864_000_000_000_000, pa.time64("ns")),
        "before midnight": _whole(-5, pa.time32("ms")),
        "months, days and seconds": pa.array([pa.MonthDayNano([row % 3, 1, 2]) for row in range(ROWS)]),
        "text that is no UTF-8": _text(pa.string()),
        "bytes": _text(pa.binary()),
        "bytes of one width": pa.array([bytes([row % 3, 255]) for row in range(ROWS)], pa.binary(2)),
        "text by views": pa.array([f"word {row % 3}" for row in range(ROWS)], pa.string_view()),
        "bytes by views": pa.array([b"\xff%d" % (row % 3) for row in range(ROWS)], pa.binary_view()),
        "digits beyond doubles": pa.array([Decimal(10) ** 70 + row % 3 for row in range(ROWS)], pa.decimal256(76, 0)),
        "short decimals": pa.array([Decimal(row) / 4 for row in range(ROWS)], pa.decimal32(9, 2)),
        "halves": pa.array(np.arange(ROWS).astype(np.float16)),
        "a dictionary with NaN": pa.array([float("nan"), 1.5, None] * (ROWS // 3)).dictionary_encode(),
        "a dictionary of flags": pa.array([True, False, None] * (ROWS // 3)).dictionary_encode(),
    }


def _inside(name: str, values: pa.Array) -> dict[str, pa.Array]:
    """The values inside of others, as far as Arrow builds it."""
    each = pa.array(range(ROWS + 1), pa.int32())
    found = {
        f"{name}, in lists": pa.ListArray.from_arrays(each, values),
        f"{name}, in lists of lists": pa.ListArray.from_arrays(each, pa.ListArray.from_arrays(each, values)),
        f"{name}, in structs": pa.StructArray.from_arrays([values], ["a"]),
        f"{name}, twice in structs": pa.StructArray.from_arrays([values, values], ["a", "a"]),
        f"{name}, in maps": pa.MapArray.from_arrays(each, pa.array([str(row) for row in range(ROWS)]), values),
        f"{name}, in a dictionary": pa.DictionaryArray.from_arrays(
            pa.array([row % 7 for row in range(ROWS)], pa.int8()), values.slice(0, 7)
        ),
    }
    try:
        runs = pa.RunEndEncodedArray.from_arrays(pa.array([10, ROWS], pa.int32()), values.slice(0, 2))
    except pa.ArrowInvalid:  # it looks at the values
        return found
    return {**found, f"{name}, in runs": runs}


@cache
def hostile_columns() -> dict[str, pa.Array]:
    """By what they hold; `ROWS` long each."""
    flat = _flat()
    found = {**flat, **{name: array for one, values in flat.items() for name, array in _inside(one, values).items()}}
    which, numbers = pa.array([0, 1] * (ROWS // 2), pa.int8()), pa.array(range(ROWS))
    words = numbers.cast(pa.string())
    half = pa.array([row // 2 for row in range(ROWS)], pa.int32())
    return {
        **found,
        "one of two, dense": pa.UnionArray.from_dense(which, half, [numbers, words]),
        "one of two, sparse": pa.UnionArray.from_sparse(which, [numbers, words]),
        "views of lists": pa.array([[1], [2], None] * (ROWS // 3), pa.list_view(pa.int64())),
        "lists of one length": pa.array([[1, 2], [2, 3], None] * (ROWS // 3), pa.list_(pa.int64(), 2)),
        "identifiers": pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([row.to_bytes(16, "big") for row in range(ROWS)], pa.binary(16))
        ),
        "flags of a byte": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None] * (ROWS // 3), pa.int8())),
    }
