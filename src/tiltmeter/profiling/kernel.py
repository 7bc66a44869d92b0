"""Rows become a profile: column by column, batch by batch, with the fastest kernel that is there."""

from __future__ import annotations

import sys
from collections import Counter as Multiset
from collections import deque
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import pyarrow as pa

from tiltmeter.domain.profile import (
    Bins,
    FeatureBins,
    FeatureProfile,
    LevelBins,
    NumericBins,
    NumericProfile,
    Profile,
    with_absent,
)
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.arrow_columns import LevelIndex, column_for, entity_hashes, label_flags
from tiltmeter.profiling.block_kernel import count_side_by_side
from tiltmeter.profiling.cells import NumericCells, cells_of
from tiltmeter.profiling.columns import Column, LevelColumn, NumberColumn, WrongType
from tiltmeter.profiling.distinct import COMPARISON, HashDistinct, Resolution
from tiltmeter.profiling.loose_columns import Loose
from tiltmeter.profiling.parts import in_portions, over_parts
from tiltmeter.profiling.side_by_side import pays_side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.ports import Rows
    from tiltmeter.profiling.progress import Progress, Told

COMPILED_ROWS = 100_000
"""Below, loading the compiled kernel costs more than it saves."""
COMPILED_AFTER = 250_000
"""Rows that a process counts in small portions before it loads the compiled kernel: a service of busy hours does."""
LOADED_ROWS = 1_000
"""From here on a kernel that is loaded already is the faster one."""


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
class _Ready:
    """What counting in bins needs besides them, made when first asked for."""

    cells: dict[tuple[str, bool], NumericCells] = field(default_factory=dict)
    lookups: dict[tuple[str, bool], object] = field(default_factory=dict)
    levels: dict[str, LevelIndex] = field(default_factory=dict)


@lru_cache(maxsize=4)
def _kept_ready(_bins: Bins) -> _Ready:
    # Bins are told apart by identity. A service counts hour after hour in the same few: the tables take 30 ms to make.
    return _Ready()


def _ready(bins: Bins) -> _Ready:
    return _kept_ready(bins) if len(bins.features) <= _MOST_KEPT else _Ready()


_MOST_KEPT = 200
"""Features of bins that are kept ready; wider ones would hold memory that nobody asks for again."""


@dataclass(slots=True)
class Counter:
    """Bins made ready: turns batches into profiles.

    Args:
        bins: frozen cells.
        resolution: of distinct counts of features.
        entity_resolution: of the distinct count of entities.
        compiled: whether to use the numba kernel where it is installed.
    """

    bins: Bins
    resolution: Resolution = COMPARISON
    entity_resolution: Resolution = COMPARISON
    compiled: bool = False
    _made: _Ready = field(init=False)

    def __post_init__(self) -> None:
        """Take up what an earlier counter of the same bins has made."""
        self._made = _ready(self.bins)

    def needed(self, schema: pa.Schema) -> list[str]:
        """Columns of the schema that counting reads, in their order. Names that occur twice are left out."""
        wanted = {*self.bins.features, self.bins.label, self.bins.entity}
        times = Multiset(schema.names)
        return [name for name, count in times.items() if name in wanted and count == 1]

    def schema_profile(self, schema: pa.Schema) -> Profile:
        """A profile without rows that tells which columns are new or of another type."""
        known = {*self.bins.features, *self.bins.others, *self._roles()}
        return Profile(
            bins_id=self.bins.bins_id,
            rows=0,
            features={},
            entities=HashDistinct.of(np.empty(0, np.uint64), self.entity_resolution)
            if self._has_entity(schema)
            else None,
            new_columns=frozenset(schema.names) - known,
        )

    def _roles(self) -> set[str]:
        # An unset role is "", which may be the name of a column.
        return {name for name in (self.bins.label, self.bins.entity) if name}

    def _has_entity(self, schema: pa.Schema) -> bool:
        return bool(self.bins.entity) and self.bins.entity in schema.names

    def plain(self, batch: pa.RecordBatch) -> PlainBatch:
        """The batch's columns as the bins want them."""
        columns: dict[str, Column] = {}
        retyped: dict[str, str] = {}
        names = batch.schema.names
        positions = {name: position for position, name in enumerate(names)}
        for name in self.needed(batch.schema):
            bins = self.bins.features.get(name)
            if bins is None:
                continue
            column = column_for(batch.column(positions[name]), bins, self._level_index(bins))
            if isinstance(column, WrongType):
                retyped[name] = column.found
            else:
                columns[name] = column
        return PlainBatch(
            rows=batch.num_rows,
            columns=columns,
            retyped=retyped,
            entities=entity_hashes(batch.column(self.bins.entity)) if self._has_entity(batch.schema) else None,
            labels=label_flags(batch.column(self.bins.label)) if self.bins.label and self.bins.label in names else None,
        )

    def count(self, batch: PlainBatch) -> Profile:
        """The profile of these rows."""
        entities, labels = batch.entities, batch.labels
        return Profile(
            bins_id=self.bins.bins_id,
            rows=batch.rows,
            features=self._count_features(batch),
            entities=None if entities is None else HashDistinct.of(entities[0][entities[1]], self.entity_resolution),
            identified=0 if entities is None else int(np.count_nonzero(entities[1])),
            retyped=batch.retyped,
            converted=None if labels is None else int(np.count_nonzero(labels[0])),
            labelled=None if labels is None else int(np.count_nonzero(labels[1])),
        )

    def _count_features(self, batch: PlainBatch) -> dict[str, FeatureProfile]:
        # Big integers and decimals have hashes of their own, which no other column shares.
        numbers = {
            name: column
            for name, column in batch.columns.items()
            if isinstance(column, NumberColumn) and column.hashes is None
        }
        together: dict[str, FeatureProfile] = {}
        if pays_side_by_side(len(numbers), batch.rows) and (not self.compiled or compiled_kernel() is None):
            cells = [self.cells(name, float32=column.float32) for name, column in numbers.items()]
            counted = count_side_by_side(list(numbers.values()), cells, self.resolution)
            together.update(zip(numbers, counted, strict=True))
        return {
            name: together[name] if name in together else self.count_feature(name, column)
            for name, column in batch.columns.items()
        }

    def count_feature(self, name: str, column: Column) -> FeatureProfile:
        """The integers of one column."""
        kernel = compiled_kernel() if self.compiled else None
        if isinstance(column, NumberColumn):
            cells = self.cells(name, float32=column.float32)
            if kernel is None:
                return numpy_kernel.count_numbers(column, cells, self.resolution)
            return kernel.count_numbers(column, cells, self._lookup(name, cells, kernel), self.resolution)
        if isinstance(column, LevelColumn):
            levels = len(self._made.levels[name].bins.levels)
            if kernel is None:
                return numpy_kernel.count_levels(column, levels, self.resolution)
            per_code = kernel.count_codes(column.codes, column.targets.size)
            return numpy_kernel.levels_from_counts(per_code, column, levels, self.resolution)
        return numpy_kernel.count_text(column, self.resolution)

    def cells(self, name: str, *, float32: bool) -> NumericCells:
        """The feature's cells for one kind of float."""
        key = (name, float32)
        if key not in self._made.cells:
            bins = self.bins.features[name].cells
            assert isinstance(bins, NumericBins)  # noqa: S101 - only number columns come here
            self._made.cells[key] = cells_of(bins, float32=float32)
        return self._made.cells[key]

    def count_loose(self, rows: Rows, columns: Sequence[str]) -> Profile:
        """Those of the columns that the rows give without telling which value is of which row; no rows are counted."""
        features: dict[str, FeatureProfile] = {}
        retyped: dict[str, str] = {}
        if hasattr(rows, "loose_columns"):
            wanted = [name for name in columns if name in self.bins.features and name not in self._roles()]
            for name, values, absent in cast(Loose, rows).loose_columns(wanted):
                bins = self.bins.features[name]
                column = column_for(values, bins, self._level_index(bins))
                if isinstance(column, WrongType):
                    retyped[name] = column.found
                else:
                    features[name] = with_absent(self.count_feature(name, column), absent)
        return Profile(self.bins.bins_id, 0, features, retyped=retyped)

    def _lookup(self, name: str, cells: NumericCells, kernel: CompiledKernel) -> object:
        key = (name, cells is not self._made.cells.get((name, False)))
        if key not in self._made.lookups:
            self._made.lookups[key] = kernel.lookup_of(cells.edges)
        return self._made.lookups[key]

    def _level_index(self, bins: FeatureBins) -> LevelIndex | None:
        if isinstance(bins.cells, LevelBins) and bins.name not in self._made.levels:
            self._made.levels[bins.name] = LevelIndex(bins.cells)
        return self._made.levels.get(bins.name)


class CompiledKernel(Protocol):
    """What a compiled kernel offers; `numba_kernel` is one."""

    def lookup_of(self, edges: np.ndarray) -> Any:  # noqa: ANN401 - the kernel's own table
        """A table that finds bins."""
        ...

    def count_numbers(
        self,
        column: NumberColumn,
        cells: NumericCells,
        lookup: Any,  # noqa: ANN401 - as above
        resolution: Resolution,
    ) -> NumericProfile:
        """As in `numpy_kernel`."""
        ...

    def count_codes(self, codes: np.ndarray, size: int) -> np.ndarray:
        """Rows per code, the missing ones in front."""
        ...


@cache
def compiled_kernel() -> CompiledKernel | None:
    """The numba kernel, None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    kernel: CompiledKernel = cast(CompiledKernel, import_module("tiltmeter.profiling.numba_kernel"))
    return kernel


def pays_to_compile(rows: int | None) -> bool:
    """Whether so many rows (None for unknown) are best counted by the compiled kernel; the integers are the same."""
    if rows is None or rows > COMPILED_ROWS:
        return True
    if "tiltmeter.profiling.numba_kernel" in sys.modules:
        return rows > LOADED_ROWS
    _portions.append(rows)
    if sum(_portions) <= COMPILED_AFTER:
        return False
    _portions.clear()
    return True


_portions: deque[int] = deque(maxlen=1_000)
"""Rows of the last portions that this process counted without the compiled kernel."""


def profile_rows(rows: Rows, bins: Bins, *, progress: Progress | None = None, threads: int | None = None) -> Profile:
    """All rows as one profile.

    Args:
        rows: read once; in parts side by side where they have `parts`.
        bins: frozen cells.
        progress: told after each part, from any thread; None tells the listener of the context.
        threads: at most so many parts at once; None takes the cores of this process.
    """
    counter = Counter(bins, compiled=pays_to_compile(rows.count()))
    columns = counter.needed(rows.schema)
    start = counter.schema_profile(rows.schema)

    def part_profile(part: Rows, tell: Told) -> Profile:
        return _part_profile(part, counter, columns, tell)

    found = over_parts(rows, part_profile, doing="counting", progress=progress, threads=threads)
    return _with_empty_features(sum(found, start), counter, rows.schema)


def _part_profile(rows: Rows, counter: Counter, columns: list[str], tell: Told) -> Profile:
    bins = counter.bins
    loose = counter.count_loose(rows, columns)
    left = [name for name in columns if name not in loose.features and name not in loose.retyped]
    profile = Profile(bins.bins_id, 0, {})
    for portions in in_portions(rows, left):
        counted = [counter.count(counter.plain(batch)) for batch in portions if batch.num_rows]
        if counted:
            profile = profile + _beside(counted)
            tell.done(counted[0].rows)
    return _beside([profile, loose]) if profile.rows else profile


def _beside(profiles: Sequence[Profile]) -> Profile:
    """Profiles of different columns of the same rows as one."""
    first, *others = profiles
    for other in others:
        first = replace(
            first,
            features={**first.features, **other.features},
            entities=other.entities if first.entities is None else first.entities,
            identified=max(first.identified, other.identified),
            retyped={**first.retyped, **other.retyped},
            converted=other.converted if first.converted is None else first.converted,
            labelled=other.labelled if first.labelled is None else first.labelled,
        )
    return first


def _with_empty_features(profile: Profile, counter: Counter, schema: pa.Schema) -> Profile:
    """Features of a data set without rows are empty, not gone."""
    if profile.rows:
        return profile
    fields = [schema.field(name) for name in counter.needed(schema)]
    nothing = [pa.nulls(0, field.type) for field in fields]
    batch = pa.RecordBatch.from_arrays(nothing, schema=pa.schema(fields))
    return profile + counter.count(counter.plain(batch))


__all__ = ["COMPILED_ROWS", "Counter", "PlainBatch", "compiled_kernel", "pays_to_compile", "profile_rows"]
