"""Columns that are taken together: the same bits as each of them alone."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.block_edges import bins_side_by_side
from tiltmeter.profiling.block_kernel import count_side_by_side
from tiltmeter.profiling.cells import cells_of
from tiltmeter.profiling.codec import canonical_bins
from tiltmeter.profiling.columns import NumberColumn
from tiltmeter.profiling.distinct import COMPARISON, STORED
from tiltmeter.profiling.edges import numeric_bins
from tiltmeter.profiling.feature_codec import encode_feature
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter

LARGEST = 1.7976931348623157e308
ODD = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, LARGEST, -LARGEST, math.inf, -math.inf, math.nan, 1e12, 0.1, 1e-300]
numbers = st.one_of(st.sampled_from(ODD), st.floats(), st.floats(-100, 100), st.integers(-2, 2).map(float))
blocks = st.integers(1, 24).flatmap(
    lambda rows: st.lists(
        st.lists(st.tuples(numbers, st.booleans()), min_size=rows, max_size=rows), min_size=2, max_size=4
    )
)

SHAPES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "with holes": lambda rng, n: np.where(rng.random(n) < 0.1, math.nan, rng.normal(size=n)),
    "skewed": lambda rng, n: rng.lognormal(3, 2, n),
    "few": lambda rng, n: rng.integers(0, 4, n).astype(float),
    "some atoms": lambda rng, n: np.where(rng.random(n) < 0.4, rng.integers(0, 2, n) * 1.0, rng.normal(size=n)),
    "rounded": lambda rng, n: rng.normal(0, 3, n).round(1),
    "neighbours": lambda rng, n: 1.0 + rng.integers(0, n, n) * 2.0**-52,
    "constant": lambda rng, n: np.full(n, float(rng.integers(9))),
    "far": lambda rng, n: np.concatenate([rng.normal(size=n - 1), [1e12]]),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.01, math.inf, rng.normal(size=n)),
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-60,
    "empty": lambda rng, n: rng.normal(size=n) * math.nan,
}


def column_of(pairs):
    return NumberColumn(np.array([x for x, _ in pairs]), np.array([present for _, present in pairs], dtype=bool))


def same_bins(one, other):
    for entry in fields(one):
        left, right = getattr(one, entry.name), getattr(other, entry.name)
        if isinstance(left, np.ndarray):
            assert (left.dtype, left.tobytes()) == (right.dtype, right.tobytes()), entry.name
        else:
            assert left == right, entry.name


def assert_fitted_alike(columns, float32):
    together = bins_side_by_side([(column,) for column in columns], float32)
    for column, single, found in zip(columns, float32, together, strict=True):
        same_bins(found, numeric_bins(column.known(), float32=single))
    return together


def assert_counted_alike(columns, cells, resolution):
    together = count_side_by_side(columns, cells, resolution)
    for column, one, found in zip(columns, cells, together, strict=True):
        alone = numpy_kernel.count_numbers(column, one, resolution)
        assert found.counts.dtype == alone.counts.dtype
        assert encode_feature(found) == encode_feature(alone)


@given(blocks, blocks, st.lists(st.booleans(), min_size=4, max_size=4), st.sampled_from([2, 8, 128]))
@settings(deadline=None, max_examples=100)
def test_any_columns_are_fitted_and_counted_as_each_alone(baseline, window, float32, cap):
    columns = [column_of(pairs) for pairs in baseline]
    fitted = assert_fitted_alike(columns, float32[: len(columns)])
    now = [column_of(pairs) for pairs in window]
    cells = [
        cells_of(fitted[i % len(fitted)], float32=single) for i, single in zip(range(len(now)), float32, strict=False)
    ]
    assert_counted_alike(now, cells, STORED._replace(cap=cap))


@pytest.mark.parametrize("rows", [9, 10, 11, 1_000, 1_023, 1_024, 1_025, 5_000])
def test_columns_of_every_shape_are_fitted_and_counted_as_each_alone(rows):
    rng = np.random.default_rng(rows)
    columns = [NumberColumn(shape(rng, rows)) for shape in SHAPES.values()]
    float32 = [which % 2 == 0 for which in range(len(columns))]
    fitted = assert_fitted_alike(columns, float32)
    cells = [cells_of(bins, float32=True) for bins in fitted]
    moved = [NumberColumn(column.values * 1.2 + 0.1) for column in columns]
    for resolution in (COMPARISON, STORED):
        assert_counted_alike(columns, cells, resolution)
        assert_counted_alike(moved, cells, resolution)


def test_a_wide_table_is_frozen_and_counted_as_its_columns_one_by_one():
    rng = np.random.default_rng(5)
    columns = {f"{name} {i}": pa.array(shape(rng, 300)) for i in range(9) for name, shape in SHAPES.items()}
    columns |= {
        "flag": pa.array(rng.integers(0, 2, 300)),
        "word": pa.array(rng.choice(["a", "b"], 300)),
        "big": pa.array(rng.integers(2**60, 2**62, 300)),
        "float32": pa.array(rng.normal(size=300).astype(np.float32)),
        "declared": pa.array(np.where(rng.random(300) < 0.2, 999.0, rng.normal(size=300))),
    }
    roles = ColumnRoles(missing_values={"declared": (999,)})
    table = pa.table(columns)
    bins = fit_bins(TableRows(table), roles)
    assert list(bins.features) == list(columns)
    counter = Counter(bins)
    batch = counter.plain(table.combine_chunks().to_batches()[0])
    profile = counter.count(batch)
    assert list(profile.features) == list(columns)
    for name in columns:
        alone = fit_bins(TableRows(table.select([name])), roles)
        assert canonical_bins(alone) == canonical_bins(replace(bins, features={name: bins.features[name]}))
        assert encode_feature(profile.features[name]) == encode_feature(
            counter.count_feature(name, batch.columns[name])
        )


def test_a_baseline_in_several_batches_is_frozen_as_one():
    rng = np.random.default_rng(6)
    table = pa.table({name: shape(rng, 600) for name, shape in SHAPES.items()})
    pieces = pa.concat_tables([table.slice(0, 250), table.slice(250)])
    assert len(pieces.to_batches()) == 2
    assert fit_bins(TableRows(pieces), ColumnRoles()).bins_id == fit_bins(TableRows(table), ColumnRoles()).bins_id
