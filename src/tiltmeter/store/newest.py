"""The newest row of each key, in tables where corrections are appended."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def newest(rows: pa.Table, key: list[str], order: list[str]) -> pa.Table:
    """One row a key: the last one in the given order.

    Args:
        rows: any order.
        key: columns that name a thing; null is a value of its own.
        order: columns by which a later row beats an earlier one; null comes first.
    """
    if rows.num_rows < 2:
        return rows
    rows = rows.sort_by([(column, "ascending") for column in order]) if order else rows
    places = pa.table({**{column: rows[column] for column in key}, "__place": np.arange(rows.num_rows)})
    last = places.group_by(key, use_threads=False).aggregate([("__place", "max")])["__place_max"]
    return rows.take(last.combine_chunks().sort())
