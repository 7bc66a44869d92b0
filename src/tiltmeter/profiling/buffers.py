"""Arrow arrays as NumPy arrays and back, by their buffers.

Arrow's own `to_numpy`, `array` and `scalar` import pandas wherever it is installed, a third of a second at the start of
a command.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_DTYPES = {
    arrow.id: np.dtype(name)
    for arrow, name in (
        (pa.int8(), "i1"), (pa.int16(), "i2"), (pa.int32(), "i4"), (pa.int64(), "i8"),
        (pa.uint8(), "u1"), (pa.uint16(), "u2"), (pa.uint32(), "u4"), (pa.uint64(), "u8"),
        (pa.float16(), "f2"), (pa.float32(), "f4"), (pa.float64(), "f8"),
    )
}  # fmt: skip
"""Types that Arrow stores as NumPy does, by their id: asking type after type takes longer than the work itself."""


def numpy_of(array: pa.Array, fill: float | None = None) -> np.ndarray:
    """The values of an array of integers, floats or booleans, without a copy where Arrow stores them as NumPy does.

    Args:
        array: of such a type.
        fill: what null slots hold; anything where None.
    """
    if fill is not None and array.null_count:
        return numpy_of(pc.fill_null(array, _scalar(fill, array.type)))
    dtype = _DTYPES.get(array.type.id)
    if dtype is None:
        return values_as(array.cast(pa.uint8()), np.dtype("u1")).view(np.bool_)
    return values_as(array, dtype)


@cache
def _scalar(value: float, data_type: pa.DataType) -> pa.Scalar:
    whole = isinstance(value, int)
    held = pa.py_buffer(np.array([value], dtype=np.int64 if whole else np.float64))
    return pa.Array.from_buffers(pa.int64() if whole else pa.float64(), 1, [None, held]).cast(data_type)[0]


def values_as(array: pa.Array, dtype: np.dtype) -> np.ndarray:
    """The values of a fixed-width array as a type of the same width."""
    buffer = array.buffers()[1]
    if buffer is None or len(array) == 0:
        return np.empty(0, dtype=dtype)
    raw: np.ndarray = np.frombuffer(buffer, dtype=dtype)
    return raw[array.offset : array.offset + len(array)]


def longest_text(values: pa.Array) -> int:
    """Bytes of the longest text (strings or large strings), or of a longer gap; by the offsets alone."""
    if len(values) == 0:
        return 0
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    offsets = np.frombuffer(values.buffers()[1], width)[values.offset : values.offset + len(values) + 1]
    return int(np.diff(offsets).max())


def positions_array(positions: np.ndarray) -> pa.Int64Array:
    """Integers as an Arrow array, to take rows by."""
    return pa.Int64Array.from_buffers(
        pa.int64(), positions.size, [None, pa.py_buffer(np.ascontiguousarray(positions, dtype=np.int64))]
    )


_WIDE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


def combined(chunks: pa.ChunkedArray, *, most_bytes: int = 2**31 - 1) -> pa.Array:
    """All chunks as one array.

    Args:
        chunks: of any type but a dictionary.
        most_bytes: text of more gets 64-bit offsets, because 32-bit ones do not reach further.
    """
    wide = _WIDE.get(chunks.type)
    if wide is not None and chunks.nbytes > most_bytes:
        chunks = chunks.cast(wide)
    return chunks.combine_chunks()


def names_array(names: Iterable[str | None]) -> pa.LargeStringArray:
    """Texts, or None where there is none, as an Arrow array.

    Raises:
        UnicodeEncodeError: a text holds half a surrogate pair.
    """
    listed = list(names)
    known = [name for name in listed if name is not None]
    joined = "".join(known)
    if len(known) == len(listed) and joined.isascii():  # a byte a character: nothing has to be encoded one by one
        return _variable(pa.large_string(), listed, joined.encode(), None)
    return bytes_array([None if name is None else name.encode() for name in listed]).cast(pa.large_string())


def bytes_array(values: Sequence[bytes | None]) -> pa.LargeBinaryArray:
    """Bytes, or None where there are none, as an Arrow array."""
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return _variable(pa.large_binary(), values, b"".join(known), None)
    present = np.fromiter((value is not None for value in values), bool, len(values))
    bitmap = pa.py_buffer(np.packbits(present, bitorder="little"))
    return _variable(pa.large_binary(), [value or b"" for value in values], b"".join(known), bitmap)


def _variable(data_type: pa.DataType, values: Sequence[Any], data: bytes, bitmap: pa.Buffer | None) -> pa.Array:
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    return pa.Array.from_buffers(data_type, len(values), [bitmap, pa.py_buffer(offsets), pa.py_buffer(data)])
