"""Columns of leads: numbers with NaN for missing, booleans, and levels as codes into a list of names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A category column.

    Args:
        codes: position in `names` per row, −1 where missing; int16, shape (rows,).
        names: the levels.
    """

    codes: np.ndarray
    names: tuple[str, ...]

    def take(self, rows: np.ndarray) -> Levels:
        """The chosen rows, by position or mask."""
        return Levels(self.codes[rows], self.names)

    def value(self, row: int) -> str | None:
        """Name of one row's level, None where missing."""
        code = int(self.codes[row])
        return None if code < 0 else self.names[code]


Column = np.ndarray | Levels


def taken(columns: Mapping[str, Column], rows: np.ndarray) -> dict[str, Column]:
    """The chosen rows of every column."""
    return {name: c.take(rows) if isinstance(c, Levels) else c[rows] for name, c in columns.items()}


def joined(parts: list[Mapping[str, Column]]) -> dict[str, Column]:
    """Rows of several parts below each other; parts share their level names."""
    first = parts[0]
    total: dict[str, Column] = {}
    for name, column in first.items():
        pieces = [part[name] for part in parts]
        if isinstance(column, Levels):
            codes = [piece.codes for piece in pieces if isinstance(piece, Levels)]
            total[name] = Levels(np.concatenate(codes), column.names)
        else:
            total[name] = np.concatenate([piece for piece in pieces if isinstance(piece, np.ndarray)])
    return total


def to_arrow(column: Column) -> pa.Array:
    """The column as it stands in a log: doubles, booleans, or text with nulls where missing."""
    if isinstance(column, Levels):
        indices = pa.array(column.codes.astype(np.int32), mask=column.codes < 0)
        return pa.DictionaryArray.from_arrays(indices, pa.array(column.names, pa.string())).cast(pa.string())
    if column.dtype == np.bool_:
        return pa.array(column)
    return pa.array(column.astype(np.float64), from_pandas=True)


def to_json(columns: Mapping[str, Column], row: int) -> dict[str, float | str | bool | None]:
    """One row as a JSON object."""
    values: dict[str, float | str | bool | None] = {}
    for name, column in columns.items():
        if isinstance(column, Levels):
            values[name] = column.value(row)
        elif column.dtype == np.bool_:
            values[name] = bool(column[row])
        else:
            number = float(column[row])
            values[name] = None if np.isnan(number) else number
    return values
