"""Rows become a profile: column by column, batch by batch, with the fastest kernel that is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.domain.profile import Bins, FeatureBins, FeatureProfile, LevelBins, NumericBins, Profile
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.cells import NumericCells, cells_of
from tiltmeter.profiling.columns import (
    Column,
    LevelColumn,
    LevelIndex,
    NumberColumn,
    WrongType,
    column_for,
    entity_hashes,
    family,
    label_flags,
)
from tiltmeter.profiling.distinct import COMPARISON, HashDistinct, Resolution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from tiltmeter.ports import Rows


@dataclass(frozen=True, slots=True, eq=False)
class PlainBatch:
    """Some rows with every column made plain for the bins.

    Args:
        rows: number of rows.
        columns: by feature.
        retyped: features whose type clashes with the bins.
        entities: hash and presence of the entity id, None without one.
        labels: converted and labelled flags, None without a label.
    """

    rows: int
    columns: Mapping[str, Column]
    retyped: Mapping[str, str]
    entities: tuple[np.ndarray, np.ndarray] | None
    labels: tuple[np.ndarray, np.ndarray] | None

    def take(self, order: np.ndarray) -> PlainBatch:
        """The rows in that order."""
        return PlainBatch(
            int(order.size),
            {name: column.take(order) for name, column in self.columns.items()},
            self.retyped,
            None if self.entities is None else (self.entities[0][order], self.entities[1][order]),
            None if self.labels is None else (self.labels[0][order], self.labels[1][order]),
        )

    def slice(self, start: int, stop: int) -> PlainBatch:
        """Rows `[start, stop)`, without a copy."""
        rows = slice(start, stop)
        return PlainBatch(
            stop - start,
            {name: column.slice(start, stop) for name, column in self.columns.items()},
            self.retyped,
            None if self.entities is None else (self.entities[0][rows], self.entities[1][rows]),
            None if self.labels is None else (self.labels[0][rows], self.labels[1][rows]),
        )


@dataclass(slots=True)
class Counter:
    """Bins made ready: turns batches into profiles.

    Args:
        bins: frozen cells.
        resolution: of distinct counts of features.
        entity_resolution: of the distinct count of entities.
    """

    bins: Bins
    resolution: Resolution = COMPARISON
    entity_resolution: Resolution = COMPARISON
    _cells: dict[tuple[str, bool], NumericCells] = field(default_factory=dict)
    _levels: dict[str, LevelIndex] = field(default_factory=dict)

    def needed(self, schema: pa.Schema) -> list[str]:
        """Columns of the schema that counting reads, in their order. Names that occur twice are left out."""
        wanted = {*self.bins.features, self.bins.label, self.bins.entity}
        return [name for name in schema.names if name in wanted and schema.names.count(name) == 1]

    def schema_profile(self, schema: pa.Schema) -> Profile:
        """A profile without rows that tells which columns are new or of another type."""
        known = {*self.bins.features, *self.bins.others, self.bins.label, self.bins.entity}
        return Profile(
            bins_id=self.bins.bins_id,
            rows=0,
            features={},
            entities=HashDistinct.of(np.empty(0, np.uint64), self.entity_resolution)
            if self._has_entity(schema)
            else None,
            new_columns=frozenset(schema.names) - known,
        )

    def _has_entity(self, schema: pa.Schema) -> bool:
        return bool(self.bins.entity) and self.bins.entity in schema.names

    def plain(self, batch: pa.RecordBatch) -> PlainBatch:
        """The batch's columns as the bins want them."""
        columns: dict[str, Column] = {}
        retyped: dict[str, str] = {}
        names = batch.schema.names
        for name in self.needed(batch.schema):
            bins = self.bins.features.get(name)
            if bins is None:
                continue
            column = column_for(batch.column(names.index(name)), bins, self._level_index(bins))
            if isinstance(column, WrongType):
                retyped[name] = column.found
            else:
                columns[name] = column
        return PlainBatch(
            rows=batch.num_rows,
            columns=columns,
            retyped=retyped,
            entities=entity_hashes(batch.column(self.bins.entity)) if self.bins.entity in names else None,
            labels=label_flags(batch.column(self.bins.label)) if self.bins.label in names else None,
        )

    def count(self, batch: PlainBatch) -> Profile:
        """The profile of these rows."""
        entities, labels = batch.entities, batch.labels
        return Profile(
            bins_id=self.bins.bins_id,
            rows=batch.rows,
            features={name: self.count_feature(name, column) for name, column in batch.columns.items()},
            entities=None if entities is None else HashDistinct.of(entities[0][entities[1]], self.entity_resolution),
            retyped=batch.retyped,
            converted=None if labels is None else int(np.count_nonzero(labels[0])),
            labelled=None if labels is None else int(np.count_nonzero(labels[1])),
        )

    def count_feature(self, name: str, column: Column) -> FeatureProfile:
        """The integers of one column."""
        if isinstance(column, NumberColumn):
            return numpy_kernel.count_numbers(column, self.cells(name, float32=column.float32), self.resolution)
        if isinstance(column, LevelColumn):
            return numpy_kernel.count_levels(column, len(self._levels[name].bins.levels), self.resolution)
        return numpy_kernel.count_text(column, self.resolution)

    def cells(self, name: str, *, float32: bool) -> NumericCells:
        """The feature's cells for one kind of float."""
        key = (name, float32)
        if key not in self._cells:
            bins = self.bins.features[name].cells
            assert isinstance(bins, NumericBins)  # noqa: S101 - only number columns come here
            self._cells[key] = cells_of(bins, float32=float32)
        return self._cells[key]

    def _level_index(self, bins: FeatureBins) -> LevelIndex | None:
        if isinstance(bins.cells, LevelBins) and bins.name not in self._levels:
            self._levels[bins.name] = LevelIndex(bins.cells)
        return self._levels.get(bins.name)


def profile_rows(rows: Rows, bins: Bins) -> Profile:
    """All rows as one profile.

    Args:
        rows: read once.
        bins: frozen cells.
    """
    counter = Counter(bins)
    total = counter.schema_profile(rows.schema)
    for batch in _batches(rows, counter.needed(rows.schema)):
        total = total + counter.count(counter.plain(batch))
    return _with_empty_features(total, counter, rows.schema)


def _with_empty_features(total: Profile, counter: Counter, schema: pa.Schema) -> Profile:
    if total.rows:
        return total
    nothing = schema.empty_table().select(counter.needed(schema))
    batch = nothing.combine_chunks().to_batches() or [_empty_batch(nothing.schema)]
    return total + counter.count(counter.plain(batch[0]))


def _empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.array([], type=one.type) for one in schema], schema=schema)


def _batches(rows: Rows, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for batch in rows.batches(columns):
        if batch.num_rows:
            yield batch


__all__ = ["Counter", "PlainBatch", "family", "profile_rows"]
