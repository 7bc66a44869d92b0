"""A baseline is frozen here: kinds, edges, levels and scales from its rows."""

from __future__ import annotations

from collections import Counter as Multiset
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tiltmeter.domain.errors import EmptyWindow, UsageError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.domain.profile import Bins, FeatureBins, LevelBins, NumericBins, TextBins
from tiltmeter.profiling.arrow_columns import (
    converted_numbers,
    family,
    is_float32,
    level_column,
    level_names,
    natural_family,
    number_column,
)
from tiltmeter.profiling.block_edges import bins_side_by_side
from tiltmeter.profiling.buffers import combined, names_array, positions_array
from tiltmeter.profiling.codec import canonical_parts
from tiltmeter.profiling.columns import NumberColumn
from tiltmeter.profiling.edges import bins_of_ordered, finite_of, numeric_bins
from tiltmeter.profiling.kinds import inferred_kind, starts_without_flags
from tiltmeter.profiling.plain_arrays import plain
from tiltmeter.profiling.progress import told
from tiltmeter.profiling.side_by_side import columns_of_block, pays_side_by_side
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.ports import Rows

SAMPLE_ROWS = 1_000_000
"""Rows that edges, levels and scales are made from at most."""


def fit_bins(rows: Rows, roles: ColumnRoles, *, level_cap: int = 10_000, sample_rows: int = SAMPLE_ROWS) -> Bins:
    """Freeze kinds, edges, levels and scales of a baseline.

    Args:
        rows: the baseline.
        roles: which column plays which part.
        level_cap: levels kept per category.
        sample_rows: beyond this many rows every 2^k-th row of the version's order makes the bins, k as small as
            possible.

    Raises:
        EmptyWindow: there are no rows.
        UsageError: a named column does not exist.
    """
    names = feature_names(rows.schema, roles)
    sample, total, step = _sampled(rows, names, sample_rows)
    if total == 0:
        raise EmptyWindow("there are no rows to make a baseline from", at=rows.name)
    features = _all_features(sample, rows.schema, roles, level_cap)
    others = {*rows.schema.names, *roles.ignore, roles.label, roles.entity, roles.time} - {*features, None}
    bins = Bins(
        bins_id="",
        features=features,
        score=roles.score or "",
        label=roles.label or "",
        entity=roles.entity or "",
        fit_rule="all rows" if step == 1 else f"every {step}th of {total} rows in their order",
        others=frozenset(name for name in others if name),
    )
    return replace(bins, bins_id=bins_hash(bins))


def bins_hash(bins: Bins) -> str:
    """Hash of edges, levels, scales and roles: 16 hexadecimal characters."""
    total = blake2b(digest_size=8)
    for part in canonical_parts(bins):  # one feature at a time: ten thousand together take 300 MB
        total.update(part)
    return total.hexdigest()


def feature_names(schema: pa.Schema, roles: ColumnRoles) -> list[str]:
    """Columns to profile, the score last; columns whose name occurs twice are left out.

    Raises:
        UsageError: a named column does not exist.
    """
    known = {name: None for name, times in Multiset(schema.names).items() if times == 1}  # in order, quick to look up
    named = [*(roles.features or ()), *(role for role in (roles.score, roles.label, roles.entity) if role)]
    for name in named:
        if name not in known:
            raise UsageError(f'there is no column "{name}"', hint=did_you_mean(name, list(known)))
    apart = {roles.label, roles.entity, roles.time, *roles.ignore} - {roles.score}
    chosen = list(known) if roles.features is None else roles.features
    names = [name for name in chosen if name not in apart and name != roles.score]
    return [*names, roles.score] if roles.score else names


def _sampled(rows: Rows, names: Sequence[str], limit: int) -> tuple[dict[str, list[pa.Array]], int, int]:
    step, total = 1, 0
    parts: list[tuple[int, pa.RecordBatch]] = []  # first row number, and every step-th row from there
    kept = 0
    tell = told(f"reading {rows.name}")
    of = rows.count() if tell else None
    for batch in rows.batches(names):
        thin = _thinned(batch, total, step)
        parts.append((total, thin))
        total += batch.num_rows
        kept += thin.num_rows
        if tell:
            tell(total, of)
        while kept > limit:
            parts = [(first, _every_second(first, part, step)) for first, part in parts]
            step *= 2
            kept = sum(part.num_rows for _, part in parts)
    batches = [part for _, part in parts]
    schema = rows.schema
    chunks = {name: [_column(part, name, schema) for part in batches] for name in names}
    return chunks, total, step


def _thinned(batch: pa.RecordBatch, first: int, step: int) -> pa.RecordBatch:
    """Rows of the batch whose number in the whole data set is a multiple of the step."""
    if step == 1:
        return batch
    return batch.take(positions_array(np.arange(-first % step, batch.num_rows, step)))


def _every_second(first: int, part: pa.RecordBatch, step: int) -> pa.RecordBatch:
    number = first + (-first % step)  # number of the part's first row
    odd = (number // step) % 2
    return part.take(positions_array(np.arange(odd, part.num_rows, 2)))


def _column(batch: pa.RecordBatch, name: str, schema: pa.Schema) -> pa.Array:
    """The column, or nulls in a file that lacks it."""
    position = batch.schema.get_field_index(name)
    return pa.nulls(batch.num_rows, schema.field(name).type) if position < 0 else plain(batch.column(position))


def _joined(chunks: list[pa.Array], schema: pa.Schema, name: str, kind: FeatureKind | None) -> pa.Array:
    if not chunks:
        return pa.nulls(0, schema.field(name).type)
    if len(chunks) == 1:
        return chunks[0]
    if len({chunk.type for chunk in chunks}) > 1:
        chunks = _of_one_type(chunks, schema.field(name).type, kind)
    joined = pa.chunked_array(chunks)
    if not pa.types.is_dictionary(joined.type):
        return combined(joined)
    try:
        return joined.unify_dictionaries().combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowCapacityError):  # Arrow joins no dictionaries that hold nulls or 2 GB of text
        return combined(pa.chunked_array([chunk.dictionary_decode() for chunk in chunks]))


def _of_one_type(chunks: list[pa.Array], data_type: pa.DataType, kind: FeatureKind | None) -> list[pa.Array]:
    """Files of one data set may disagree: the data set's type where all fit; else doubles, microseconds or text."""
    decoded = [chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk for chunk in chunks]
    try:
        return [chunk.cast(data_type) for chunk in decoded]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Integers beyond 2^53 are no doubles to the last digit; counting takes the nearest, so the cells do as well.
        families = {family(chunk.type) for chunk in decoded} - {"any"}
        if (kind is None or kind.is_binned) and families == {"numeric"}:
            return [_doubles(chunk) for chunk in decoded]
        if (kind is None or kind.is_binned) and families == {"datetime"}:
            return [chunk.cast(pa.timestamp("us"), safe=False) for chunk in decoded]
        named = [level_names(chunk) for chunk in decoded]
        return [one if isinstance(one, pa.Array) else names_array(one) for one in named]


def _doubles(chunk: pa.Array) -> pa.Array:
    if family(chunk.type) == "any":
        return pa.nulls(len(chunk), pa.float64())
    column = number_column(chunk)
    return pa.array(column.values, pa.float64(), mask=~column.is_known())


def _all_features(
    sample: dict[str, list[pa.Array]], schema: pa.Schema, roles: ColumnRoles, level_cap: int
) -> dict[str, FeatureBins]:
    names, found = list(sample), {}
    waiting: dict[str, list[NumberColumn]] = {}
    for name in names:
        # A column is let go when its cells are made: wide tables then never stand beside all of their cells.
        chunks = sample.pop(name)
        rows = sum(map(len, chunks))
        if not (pays_side_by_side(len(names), rows) and _plainly_numeric(name, chunks, roles)):
            found[name] = _feature_bins(name, chunks, schema, roles, level_cap)
            continue
        waiting[name] = [number_column(chunk, _missing(name, roles)) for chunk in chunks]
        if len(waiting) == columns_of_block(rows):
            found |= _numeric_features(waiting, roles)
            waiting.clear()
    found |= _numeric_features(waiting, roles)
    return {name: found[name] for name in names}


def _numeric_features(columns: dict[str, list[NumberColumn]], roles: ColumnRoles) -> dict[str, FeatureBins]:
    if not columns:
        return {}
    cells = bins_side_by_side(list(columns.values()), [pieces[0].float32 for pieces in columns.values()])
    return {
        name: FeatureBins(name, FeatureKind.NUMERIC, one, _missing(name, roles))
        for name, one in zip(columns, cells, strict=True)
    }


def _missing(name: str, roles: ColumnRoles) -> tuple[object, ...]:
    return tuple(roles.missing_values.get(name, ()))


def _feature_bins(
    name: str, chunks: list[pa.Array], schema: pa.Schema, roles: ColumnRoles, level_cap: int
) -> FeatureBins:
    missing = _missing(name, roles)
    if _plainly_numeric(name, chunks, roles):
        return FeatureBins(name, FeatureKind.NUMERIC, _number_cells(chunks, missing), missing)
    array = plain(_joined(chunks, schema, name, roles.kinds.get(name)))
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.dictionary_encode()  # once, for kind and levels
    kind = roles.kinds.get(name) or _inferred(name, array, missing, roles)
    cells: NumericBins | LevelBins | TextBins
    if kind.is_binned:
        cells = _numeric_cells(name, array, kind, missing)
    elif kind.has_levels:
        cells = _level_cells(array, missing, level_cap, boolean=kind is FeatureKind.BOOLEAN)
        families = {family(chunk.type) for chunk in chunks if chunk.null_count < len(chunk)}
        if cells.source != "any":  # where files disagree, no type can be held against a window
            cells = replace(cells, source=families.pop() if len(families) == 1 else "any")
    else:
        cells = TextBins()
    return FeatureBins(name, kind, cells, missing)


def _plainly_numeric(name: str, chunks: list[pa.Array], roles: ColumnRoles) -> bool:
    """Whether the chunks are numbers of one type that the first rows tell from flags: nothing need be joined."""
    if not chunks or len({chunk.type for chunk in chunks}) > 1 or family(chunks[0].type) != "numeric":
        return False
    stated = FeatureKind.NUMERIC if name == roles.score else None
    kind = roles.kinds.get(name, stated)
    return kind is FeatureKind.NUMERIC or (kind is None and starts_without_flags(chunks[0], _missing(name, roles)))


def _number_cells(chunks: list[pa.Array], missing: Sequence[object]) -> NumericBins:
    ordered = np.empty(sum(len(chunk) for chunk in chunks))
    start = 0
    for chunk in chunks:
        column, into = number_column(chunk, missing), ordered[start : start + len(chunk)]
        np.add(column.values, 0.0, out=into)  # -0.0 is 0.0
        if column.present is not None:
            np.copyto(into, np.nan, where=~column.present)
        start += len(chunk)
    ordered.sort()
    return bins_of_ordered(finite_of(ordered), float32=is_float32(chunks[0].type))


def _inferred(name: str, array: pa.Array, missing: Sequence[object], roles: ColumnRoles) -> FeatureKind:
    kind = inferred_kind(array, missing)
    # A score that is 0 or 1 so far is still a number.
    is_number = name == roles.score and family(array.type) == "numeric"
    return FeatureKind.NUMERIC if is_number else kind


def _numeric_cells(name: str, array: pa.Array, kind: FeatureKind, missing: Sequence[object]) -> NumericBins:
    found = "any" if array.null_count == len(array) else family(array.type)
    column = NumberColumn(np.empty(0)) if found == "any" else converted_numbers(array, kind, missing)
    if column is None:
        raise UsageError(
            f'the column "{name}" holds text and cannot be {kind.value}',
            hint="take the kind away, or declare the words that mean missing",
        )
    cells = numeric_bins(column.known(), float32=is_float32(array.type))
    # Text whose declared words are all that is no number is a column of numbers.
    stands = found in ("any", natural_family(kind)) or (found == "text" and missing and kind is FeatureKind.NUMERIC)
    return cells if stands else replace(cells, source=found)


def _level_cells(array: pa.Array, missing: Sequence[object], cap: int, *, boolean: bool) -> LevelBins:
    nothing = names_array([])
    column = level_column(array, nothing, missing, boolean=boolean)
    per_code = np.bincount(column.codes + 1, minlength=column.targets.size + 1)[1:]
    counts = np.zeros(len(column.new) + 1, dtype=np.int64)  # the last place takes what means missing
    np.add.at(counts, column.targets, per_code)
    ranked = sorted((-int(rows), name) for name, rows in zip(column.new, counts[:-1], strict=True) if rows)
    found = "any" if array.null_count == len(array) else family(array.type)
    return LevelBins(tuple(name for _, name in ranked[:cap]), found)
