"""Columns without their rows: the values that are there, and how many rows hold none. Counting asks for no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tiltmeter.ports import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa


class LooseColumn(NamedTuple):
    """One column of some rows.

    Args:
        name: of the column.
        values: an Arrow array without nulls, valid until the next column is asked for.
        absent: rows that hold no value.
    """

    name: str
    values: pa.Array
    absent: int


class Loose(Rows, Protocol):
    """Rows that give some columns quicker when nobody asks which value is of which row."""

    def loose_columns(self, columns: Sequence[str]) -> Iterator[LooseColumn]:
        """Those of the columns that are to be had like this, one after the other."""
        ...


__all__ = ["Loose", "LooseColumn"]
