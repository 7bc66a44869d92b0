"""Arrow arrays without wrappers, and their values as Python objects, whatever they hold.

Arrow has no kernels for some of its own types (views, short decimals, runs of dictionaries) and no Python object for
some of its own values (days beyond year 9999, text that is no UTF-8). Both stop here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import types

from tiltmeter.profiling.buffers import names_array, numpy_of, positions_array

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN = {
    arrow.id
    for arrow in (
        pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
        pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.bool_(), pa.timestamp("us"), pa.date32(),
    )
}  # fmt: skip
"""Of the most frequent types that need nothing, by their id."""

_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_NO_OBJECT = (ValueError, OverflowError, LookupError, NotImplementedError, pa.ArrowException)


def plain(array: pa.Array) -> pa.Array:
    """The array without run-length encoding, extension wrappers and views; one level of dictionaries kept."""
    data_type = array.type
    if data_type.id in _PLAIN or (types.is_dictionary(data_type) and data_type.value_type.id in _PLAIN):
        return array
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    if types.is_run_end_encoded(data_type):
        return plain(_run_by_run(array))
    return _with_plain_values(array) if types.is_dictionary(data_type) else _with_kernels(array)


def _with_kernels(array: pa.Array) -> pa.Array:
    """The array as a type that Arrow computes with."""
    data_type = array.type
    if data_type in _VIEWS:
        return array.cast(_VIEWS[data_type])
    if types.is_decimal32(data_type) or types.is_decimal64(data_type):
        return array.cast(pa.decimal128(data_type.precision, data_type.scale))
    if types.is_interval(data_type):
        return names_array(None if value is None else str(value) for value in listed(array))
    return array


def _run_by_run(array: pa.RunEndEncodedArray) -> pa.Array:
    """Each value as often as it runs."""
    ends = np.clip(numpy_of(array.run_ends).astype(np.int64) - array.offset, 0, len(array))
    runs = np.diff(ends, prepend=0)
    return plain(array.values).take(positions_array(np.repeat(np.arange(runs.size), runs)))


def _with_plain_values(array: pa.DictionaryArray) -> pa.Array:
    values = plain(array.dictionary)
    if types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(values.indices.take(array.indices), values.dictionary)
    if values.type == array.type.value_type:
        return array
    return pa.DictionaryArray.from_arrays(array.indices, values)


def without_views(table: pa.Table) -> pa.Table:
    """The table with views as plain text and bytes, in lists too: Polars gives views, Arrow cannot take from them."""
    wanted = pa.schema([field.with_type(_without_view(field.type)) for field in table.schema])
    return table if wanted.equals(table.schema) else table.cast(wanted)


def _without_view(data_type: pa.DataType) -> pa.DataType:
    if types.is_list(data_type) or types.is_large_list(data_type):
        field = data_type.value_field.with_type(_without_view(data_type.value_type))
        return pa.list_(field) if types.is_list(data_type) else pa.large_list(field)
    if types.is_struct(data_type):
        return pa.struct([field.with_type(_without_view(field.type)) for field in data_type])
    return _VIEWS.get(data_type, data_type)


def without_dictionary(array: pa.Array) -> pa.Array:
    """The value of each row."""
    return array.dictionary_decode() if types.is_dictionary(array.type) else array


def listed(values: pa.Array) -> Sequence[object]:
    """Python objects of the values; of those that have none, the nearest that tells them apart."""
    try:
        return list(values.to_pylist())
    except _NO_OBJECT:
        return [_object(value) for value in values]


def _object(value: pa.Scalar) -> object:
    try:
        return value.as_py()
    except _NO_OBJECT:
        pass
    if types.is_struct(value.type):  # by position: names may occur twice
        return [(value.type.field(place).name, _object(value[place])) for place in range(value.type.num_fields)]
    if types.is_nested(value.type) and isinstance(value.values, pa.Array):
        return [_object(one) for one in value.values]
    if hasattr(value, "as_buffer"):
        return value.as_buffer().to_pybytes().decode("utf-8", "replace")
    return getattr(value, "value", repr(value.type))  # a moment: days or seconds, as they are stored


__all__ = ["listed", "plain", "without_dictionary", "without_views"]
