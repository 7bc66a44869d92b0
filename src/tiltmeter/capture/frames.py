"""Data frames of any library as rows of the `predictions` table, in Arrow."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tiltmeter.domain.errors import UnreadableData, UsageError
from tiltmeter.domain.prediction import LARGEST_EXACT_INTEGER
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.capture.privacy import Privacy

FEATURE_PREFIX = "f_"
_TEXT, _NUMBER, _MOMENT = pa.string(), pa.float64(), pa.timestamp("us", tz="UTC")

COLUMN_TYPES = {
    "request_time": _MOMENT,
    "model_version": _TEXT,
    "entity_id": _TEXT,
    "prediction": _NUMBER,
    "prediction_label": _TEXT,
    "threshold": _NUMBER,
    "status_code": pa.int32(),
    "execution_duration_ms": _NUMBER,
    "predict_duration_ms": _NUMBER,
    "http_route": _TEXT,
    "http_method": _TEXT,
    "error_type": _TEXT,
    "requester": _TEXT,
    "request_id": _TEXT,
    "client_request_id": _TEXT,
}
"""Columns of `predictions` that a frame may bring, beside its features."""


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """Which column of a frame is what.

    Args:
        roles: column of `predictions` -> column of the frame.
        features: columns that are features; None takes the rest.
        ignore: columns that are left out.
    """

    roles: Mapping[str, str]
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()


@dataclass(slots=True)
class FrameRows:
    """A frame as rows.

    Args:
        table: columns of `predictions`, features as `f_<name>`.
        scored: rows with a finite score.
        ignored: columns that no table column can hold.
    """

    table: pa.Table
    scored: int
    ignored: list[str] = field(default_factory=list)


def arrow_table(frame: Any) -> pa.Table:  # noqa: ANN401 - a frame of any library
    """A pandas, Polars, Spark or Arrow frame as an Arrow table.

    Raises:
        UsageError: it is no data frame.
        UnreadableData: a column mixes types that Arrow cannot hold together.
    """
    if hasattr(frame, "toArrow"):  # Spark 4
        frame = frame.toArrow()
    if isinstance(frame, pa.Table):
        return frame
    if not hasattr(frame, "__arrow_c_stream__"):
        raise UsageError(
            f"a {type(frame).__name__} is no data frame", hint="give a pandas, Polars, Spark or Arrow frame"
        )
    try:
        table = pa.RecordBatchReader.from_stream(frame).read_all()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UnreadableData(f"the frame cannot be read ({error})", hint="give each column one type") from error
    index = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(index) if index else table


def frame_rows(frame: Any, columns: FrameColumns, privacy: Privacy) -> FrameRows:  # noqa: ANN401 - as arrow_table
    """A frame as rows of the log: roles under their names, features typed, privacy applied.

    Raises:
        UsageError: a named column does not exist or cannot play its part, or a name stands there twice.
    """
    table = arrow_table(frame)
    _check_names(table, columns)
    roles = {role: private_column(privacy, name, table.column(name)) for role, name in columns.roles.items()}
    arrays = {role: _role(role, column) for role, column in roles.items() if column is not None}
    apart = {*columns.roles.values(), *columns.ignore}
    wanted = columns.features if columns.features is not None else table.column_names
    ignored: list[str] = []
    rescued: dict[int, dict[str, str]] = {}
    for name in wanted:
        if name in apart:
            continue
        kept = private_column(privacy, name, table.column(name))
        typed = None if kept is None else _feature(kept, name, rescued)
        if typed is not None:
            arrays[FEATURE_PREFIX + name] = typed
        elif kept is not None and not pa.types.is_null(kept.type):
            ignored.append(name)
    if "prediction" in arrays:
        arrays["prediction"] = finite_scores(arrays["prediction"], rescued)
    if rescued:
        texts = [json.dumps(rescued[row]) if row in rescued else None for row in range(table.num_rows)]
        arrays["_rescued_data"] = pa.array(texts, _TEXT)
    scores = arrays.get("prediction")
    scored = 0 if scores is None else len(scores) - scores.null_count
    if not arrays:
        arrays["prediction"] = pa.nulls(table.num_rows, _NUMBER)
    return FrameRows(pa.table(arrays), scored, ignored)


def finite_scores(scores: Any, rescued: dict[int, Any]) -> Any:  # noqa: ANN401 - an Array or a ChunkedArray
    """Scores without NaN and infinities, which are no prediction; infinities are kept as text beside their rows."""
    finite = pc.is_finite(scores)
    if pc.all(finite).as_py() in {True, None}:
        return scores
    for row in pc.indices_nonzero(pc.is_inf(scores)).to_pylist():
        rescued.setdefault(row, {})["prediction"] = str(scores[row].as_py())
    return pc.if_else(finite, scores, pa.scalar(None, _NUMBER))


def private_column(privacy: Privacy, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column without what must not be stored, None when it is dropped."""
    change = privacy.change(name)
    if change is None:
        return column
    if privacy.drops(name):
        return None
    levels = column.combine_chunks().dictionary_encode()
    changed = pa.array([None if value is None else change(value) for value in levels.dictionary.to_pylist()])
    return pa.chunked_array([changed.take(levels.indices)])


def _check_names(table: pa.Table, columns: FrameColumns) -> None:
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"the frame has columns of the same name: {', '.join(twice[:5])}")
    unknown = sorted(set(columns.roles) - set(COLUMN_TYPES))
    if unknown:
        raise UsageError(f'"{unknown[0]}" is no column of the log', hint=did_you_mean(unknown[0], list(COLUMN_TYPES)))
    for name in [*columns.roles.values(), *(columns.features or ())]:
        if name not in names:
            raise UsageError(f'the frame has no column "{name}"', hint=did_you_mean(name, names))


def _role(role: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    wanted = COLUMN_TYPES[role]
    if role == "request_time" and getattr(column.type, "tz", None) is None:
        raise UsageError("the time column has no time zone", hint="localize it: a naive time may mean any zone")
    try:
        return _decoded(column).cast(wanted, safe=role != "request_time")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"a column of type {column.type} cannot be the {role} ({error})") from error


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _feature(column: pa.ChunkedArray, name: str, rescued: dict[int, dict[str, str]]) -> pa.ChunkedArray | None:
    """A feature as number, boolean or text; None when it is none of them."""
    column = _decoded(column)
    kind = column.type
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_integer(kind):
        return _exact(column, name, rescued)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(_NUMBER, safe=False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(_TEXT)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return column.cast(_TEXT)
    return None


def _exact(column: pa.ChunkedArray, name: str, rescued: dict[int, dict[str, str]]) -> pa.ChunkedArray:
    """Integers as doubles; those that a double cannot hold are missing here and kept as text beside the row."""
    try:
        return column.cast(_NUMBER)
    except pa.ArrowInvalid:
        pass
    limit = pa.scalar(LARGEST_EXACT_INTEGER, column.type)
    large = pc.greater(column, limit)
    if pa.types.is_signed_integer(column.type):
        large = pc.or_(large, pc.less(column, pc.negate(limit)))
    for row in pc.indices_nonzero(large).to_pylist():
        rescued.setdefault(row, {})[name] = str(column[row].as_py())
    return pc.if_else(large, pa.scalar(None, column.type), column).cast(_NUMBER)


def row_ids(run: str, first: int, count: int) -> pa.Array:
    """`<run>-<row>` for rows `first` to `first + count`."""
    rows = pa.array(range(first, first + count), pa.int64()).cast(_TEXT)
    return pc.binary_join_element_wise(run, rows, "-")


def constant(value: str, count: int) -> pa.Array:
    """A column that holds one value; empty text is missing."""
    return pa.repeat(pa.scalar(value or None, _TEXT), count)
