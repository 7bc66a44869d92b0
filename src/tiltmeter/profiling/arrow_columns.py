"""Arrow arrays made plain columns, as frozen bins want them.

Nothing here raises on data, however hostile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import FeatureBins, LevelBins, NumericBins
from tiltmeter.profiling.buffers import longest_text, names_array, numpy_of, positions_array
from tiltmeter.profiling.clocks import hashes_of_nanoseconds, is_clock, seconds_of
from tiltmeter.profiling.columns import LevelColumn, NumberColumn, TextColumn, WrongType
from tiltmeter.profiling.hashing import hash_doubles, hash_integers, hash_names, hash_strings, mixed
from tiltmeter.profiling.missing_values import is_declared_moment, moments_among, numbers_among
from tiltmeter.profiling.names import NAME_CHARACTERS, name_of, short_name
from tiltmeter.profiling.plain_arrays import listed, plain, without_dictionary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tiltmeter.profiling.columns import Column

_SHOWN_AT_ONCE = 10_000
_CONVERTED = ("true", "1", "yes", "y", "1.0")


@dataclass(slots=True)
class LevelIndex:
    """Finds the baseline's levels; made once per feature and run."""

    bins: LevelBins
    names: pa.Array = field(init=False)

    def __post_init__(self) -> None:
        self.names = names_array(self.bins.levels)


_FAMILIES = {
    **{arrow.id: "numeric" for arrow in (pa.int32(), pa.int64(), pa.float32(), pa.float64())},
    **{arrow.id: "text" for arrow in (pa.string(), pa.large_string())},
}
"""Of the most frequent types, by their id."""


def family(data_type: pa.DataType) -> str:
    """What a column holds: `numeric`, `boolean`, `datetime`, `text`, or `any` where it can hold nothing but nulls."""
    known = _FAMILIES.get(data_type.id)
    if known is not None:
        return known
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return family(data_type.value_type)
    if types.is_null(data_type):
        return "any"
    if types.is_boolean(data_type):
        return "boolean"
    if types.is_timestamp(data_type) or types.is_date(data_type):
        return "datetime"
    numeric = (types.is_integer, types.is_floating, types.is_decimal, types.is_duration, types.is_time)
    return "numeric" if any(check(data_type) for check in numeric) else "text"


def is_float32(data_type: pa.DataType) -> bool:
    """Whether values carry the rounding of 32-bit floats."""
    if types.is_dictionary(data_type):
        return is_float32(data_type.value_type)
    return bool(types.is_float32(data_type) or types.is_float16(data_type))


def column_for(array: pa.Array, bins: FeatureBins, index: LevelIndex | None) -> Column | WrongType:
    """The column as its frozen bins want it.

    Args:
        array: any Arrow array.
        bins: the feature's frozen cells.
        index: of the levels, for categories and booleans.
    """
    array = plain(array)
    found = family(array.type)
    if isinstance(bins.cells, NumericBins):
        return _numbers_for(array, found, bins)
    if index is not None:
        return _levels_for(array, found, bins, index)
    return text_column(array, bins.missing_values)


def natural_family(kind: FeatureKind) -> str:
    """What a column of numbers or datetimes holds where nobody insisted on the kind."""
    return "datetime" if kind is FeatureKind.DATETIME else "numeric"


def _numbers_for(array: pa.Array, found: str, bins: FeatureBins) -> Column | WrongType:
    cells, natural = bins.cells, natural_family(bins.kind)
    assert isinstance(cells, NumericBins)  # noqa: S101 - `column_for` has looked
    if found == "any" or array.null_count == len(array):
        return NumberColumn(np.full(len(array), np.nan))
    if found == natural:
        return number_column(array, bins.missing_values)
    is_words = found == "text" and natural == "numeric" and bool(bins.missing_values)
    if not is_words and found != cells.source:
        return WrongType(found)
    column = converted_numbers(array, bins.kind, bins.missing_values)
    return WrongType(found) if column is None else column


def _levels_for(array: pa.Array, found: str, bins: FeatureBins, index: LevelIndex) -> Column | WrongType:
    source = index.bins.source
    if found == "any" or array.null_count == len(array):
        return LevelColumn(np.full(len(array), -1), np.empty(0, dtype=np.int64))
    same = source in (found, "any")
    # A boolean may arrive as 0/1 or as true/false; anything else is a type change.
    if not same and not (bins.kind is FeatureKind.BOOLEAN and found in ("numeric", "boolean")):
        return WrongType(found)
    return level_column(array, index.names, bins.missing_values, boolean=bins.kind is FeatureKind.BOOLEAN)


def number_column(array: pa.Array, missing: Sequence[object] = ()) -> NumberColumn:
    """Numbers or datetimes of an array of any numeric, date or time type."""
    if types.is_dictionary(array.type):
        array = without_dictionary(array)
    present = None if array.null_count == 0 else numpy_of(array.is_valid())
    data_type, hashes = array.type, None
    if data_type == pa.float64():
        values = numpy_of(array)
    elif types.is_decimal(data_type):
        values, hashes = _decimals(array)
    elif is_clock(data_type):
        values = seconds_of(array)
        hashes = hashes_of_nanoseconds(array, values)
    else:
        raw = numpy_of(array)
        values = raw.astype(np.float64, copy=False)
        if raw.dtype.itemsize == 8 and raw.dtype.kind in "iu" and raw.size and np.abs(values).max() >= 2.0**53:
            hashes = hash_integers(raw)
    for value in numbers_among(missing, data_type):
        keep = values != value
        present = keep if present is None else present & keep
    return NumberColumn(values, present, hashes, is_float32(data_type))


def converted_numbers(array: pa.Array, kind: FeatureKind, missing: Sequence[object]) -> NumberColumn | None:
    """The column as numbers or epoch seconds, whatever type it has; None where it holds text that is neither."""
    if family(array.type) != "text":
        array = without_dictionary(array)
        return number_column(array.cast(pa.int8()) if types.is_boolean(array.type) else array, missing)
    if types.is_dictionary(array.type):
        return _numbers_by_value(array, kind, missing)
    times = _parsed_times(array, missing) if kind is FeatureKind.DATETIME else None
    return parsed_numbers(array, missing) if times is None else times


def _numbers_by_value(array: pa.DictionaryArray, kind: FeatureKind, missing: Sequence[object]) -> NumberColumn | None:
    codes, values = encoded(array)
    used, rows = np.unique(codes, return_inverse=True)  # a dictionary may hold words that no row has
    known = used >= 0
    each = converted_numbers(values.take(positions_array(used[known])), kind, missing)
    if each is None or known.all():
        return None if each is None else each.take(rows)
    present = None if each.present is None else np.insert(each.present, 0, False)
    return NumberColumn(np.insert(each.values, 0, np.nan), present).take(rows)


def _parsed_times(array: pa.Array, missing: Sequence[object]) -> NumberColumn | None:
    """Times of a text column in ISO 8601, those without an offset in UTC; None where another text stands."""
    stated = _without_words(array, missing)
    for zone in ("UTC", None):
        try:
            return (
                None
                if stated is None
                else number_column(stated.cast(pa.timestamp("us", tz=zone)), moments_among(missing))
            )
        except pa.ArrowInvalid:
            continue
    return None


def _without_words(array: pa.Array, missing: Sequence[object]) -> pa.Array | None:
    """A text column (large strings) without its declared missing values; None where it is no text."""
    if types.is_nested(array.type):
        return None
    try:
        stated = without_dictionary(array).cast(pa.large_string())
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        return None
    words = names_array([str(value) for value in missing])
    return pc.if_else(pc.is_in(stated, value_set=words, skip_nulls=True), None, stated)


def parsed_numbers(array: pa.Array, missing: Sequence[object]) -> NumberColumn | None:
    """Numbers of a text column whose declared missing values are all that is not a number; else None."""
    if types.is_dictionary(array.type):
        return _numbers_by_value(array, FeatureKind.NUMERIC, missing)
    stated = _without_words(array, missing)
    try:
        numbers = None if stated is None else stated.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return None if numbers is None else number_column(numbers, missing)


def level_column(
    array: pa.Array, known: pa.Array, missing: Sequence[object] = (), *, boolean: bool = False
) -> LevelColumn:
    """Codes of an array of any type against known names (large strings)."""
    codes, values = encoded(array)
    names = level_names(values, boolean=boolean)
    named = names if isinstance(names, pa.Array) else names_array(names)
    found = numpy_of(pc.index_in(named, value_set=known), -1).astype(np.int64)
    unknown = np.flatnonzero(found < 0)
    new: dict[str, int] = {}
    if unknown.size:
        listed = named.take(positions_array(unknown)).to_pylist()
        found[unknown] = [new.setdefault(name, len(known) + len(new)) if name is not None else -1 for name in listed]
    for name in (name_of(value, boolean=boolean) for value in missing):
        found[_positions(named, name)] = -1
    found[is_declared_moment(values, missing)] = -1
    return LevelColumn(codes, found, tuple(new))


def encoded(array: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Dictionary codes (int32 or int64, -1 for null) and the dictionary's values, of an array of any type."""
    array = plain(array)
    if types.is_nested(array.type):
        array = names_array(_shown(array))
    if not types.is_dictionary(array.type):
        array = array.dictionary_encode()
    indices = array.indices
    narrow = indices.type.bit_width < 32  # a full one has no room for the place in front that takes missing rows
    if narrow or not types.is_signed_integer(indices.type):
        indices = indices.cast(pa.int32() if narrow else pa.int64(), safe=False)
    return numpy_of(indices, -1), plain(array.dictionary)


def _shown(array: pa.Array) -> Iterator[str | None]:
    """Nested values as names, some rows at a time: many may hold the same long text."""
    for start in range(0, len(array), _SHOWN_AT_ONCE):
        for value in listed(array.slice(start, _SHOWN_AT_ONCE)):
            yield None if value is None else short_name(repr(value))


def level_names(values: pa.Array, *, boolean: bool = False) -> pa.Array | list[str | None]:
    """The name of each value: text itself, numbers in their shortest form, booleans as true and false."""
    found = family(values.type)
    if found == "text" and not boolean and _is_short_text(values):
        return values.cast(pa.large_string())
    return [None if value is None else name_of(value, boolean=boolean) for value in python_values(values)]


def python_values(values: pa.Array) -> list[object]:
    """Python objects of the values; bytes that are no UTF-8 are replaced, never raised on."""
    if types.is_floating(values.type):
        return [None if value is None or value != value else value for value in values.to_pylist()]  # noqa: PLR0124 - NaN
    if family(values.type) != "text" or types.is_nested(values.type):
        return list(listed(values))
    raw = values.cast(pa.large_binary()).to_pylist() if not types.is_binary(values.type) else values.to_pylist()
    return [None if value is None else bytes(value).decode("utf-8", "replace") for value in raw]


def text_column(array: pa.Array, missing: Sequence[object] = ()) -> TextColumn:
    """Lengths and hashes of an array of any type."""
    array = plain(array)
    if types.is_dictionary(array.type):
        return _text_by_value(array, missing)
    declared = is_declared_moment(array, missing)
    if not (types.is_string(array.type) or types.is_large_string(array.type)) or not _is_utf8(array):
        names = [None if value is None else name_of(value, boolean=False) for value in python_values(array)]
        array = names_array(names)
    present = numpy_of(array.is_valid()) & ~declared
    for name in (name_of(value, boolean=False) for value in missing):
        present = present & ~numpy_of(pc.equal(array, name), False).astype(bool)
    lengths = numpy_of(pc.utf8_length(array), 0).astype(np.int64)
    return TextColumn(lengths, hash_strings(array), present)


def _text_by_value(array: pa.DictionaryArray, missing: Sequence[object]) -> TextColumn:
    """Each value once: a long one that stands in every row takes no room but its own."""
    codes, values = encoded(array)
    each = text_column(values, missing)
    # The place at the end is that of the code -1.
    lengths, hashes = np.append(each.lengths, 0), np.append(each.hashes, np.uint64(0))
    return TextColumn(lengths[codes], hashes[codes], np.append(each.present, False)[codes])


def entity_hashes(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Hash and presence of each entity id; a number hashes the same as integer and as double, an empty text is none."""
    array = plain(array)
    if family(array.type) == "numeric":
        column = number_column(array)
        return column.hashes if column.hashes is not None else hash_doubles(column.values), column.is_known()
    text = text_column(array)
    return text.hashes, text.present & (text.lengths > 0)


def label_flags(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Whether each row is converted (true, 1, yes, y in any case), and whether it has a label."""
    codes, values = encoded(array)
    names = [None if value is None else name_of(value, boolean=False) for value in python_values(values)]
    converted = np.array([name is not None and name.strip().lower() in _CONVERTED for name in names] + [False])
    labelled = np.array([name is not None for name in names] + [False])
    return converted[codes], labelled[codes]


def _positions(names: pa.Array, name: str) -> np.ndarray:
    return np.flatnonzero(numpy_of(pc.equal(names, name), False))


def _is_short_text(values: pa.Array) -> bool:
    if not (types.is_string(values.type) or types.is_large_string(values.type)):
        return False
    return longest_text(values) <= NAME_CHARACTERS and _is_utf8(values)


def _is_utf8(values: pa.Array) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _decimals(array: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    codes, distinct = encoded(array)
    exact = distinct.to_pylist()
    doubles = np.array([float(value) for value in exact] + [np.nan])
    hashes = hash_doubles(doubles)
    for position, value in enumerate(exact):
        if np.isinf(doubles[position]) or Decimal(float(doubles[position])) != value:
            hashes[position] = mixed(hash_names([name_of(value, boolean=False)]))[0]
    return doubles[codes], hashes[codes]
