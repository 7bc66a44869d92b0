"""What every registered drift statistic must hold; a new one gets these tests for nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.drift_values import GOLDEN, cells_of
from tiltmeter.domain.metric import Unit
from tiltmeter.domain.statistic import Block
from tiltmeter.statistics.drift import STATISTICS

_PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"

every_statistic = pytest.mark.parametrize("name", STATISTICS.names())

_rows = st.one_of(st.integers(0, 3), st.integers(0, 1000), st.sampled_from([0, 1, 10**6, 10**9, 10**12]))


@st.composite
def counts(draw, least_cells=1):
    """Rows per cell on both sides, hostile: empty sides, one cell, huge numbers, many zeros."""
    cells = draw(st.integers(least_cells, 12))
    sides = [draw(st.lists(_rows, min_size=cells, max_size=cells)) for _ in range(2)]
    return sides[0], sides[1]


def _compute(name, seen):
    statistic = STATISTICS.load(name)
    return statistic, statistic.compute(replace(seen, kind=next(iter(statistic.kinds))))


@every_statistic
@given(sides=counts())
@settings(max_examples=100, deadline=None)
def test_any_counts_give_a_finite_number_within_bounds_or_none_with_a_reason(name, sides):
    statistic, measured = _compute(name, cells_of(*sides))
    low, high = statistic.bounds
    if measured.value is None:
        assert measured.why
    else:
        assert math.isfinite(measured.value)
        assert low <= measured.value <= high
    assert set(measured.parts) == set(statistic.parts)
    for part in measured.parts.values():
        assert part is None or math.isfinite(part)
    assert bool(measured.why) == (None in (measured.value, *measured.parts.values()))


@every_statistic
@given(sides=counts())
@settings(max_examples=30, deadline=None)
def test_equal_windows_do_not_drift(name, sides):
    side = [rows + 1 for rows in sides[0]]
    _, measured = _compute(name, cells_of(side, side))
    assert measured.value == pytest.approx(0.0, abs=1e-12)


@every_statistic
@pytest.mark.parametrize("factor", [2, 7, 1000])
def test_windows_with_equal_shares_do_not_drift_whatever_their_size(name, factor):
    side = [10, 400, 35, 55]
    _, measured = _compute(name, cells_of([rows * factor for rows in side], side))
    assert measured.value == pytest.approx(0.0, abs=1e-12)


@every_statistic
def test_different_windows_drift(name):
    _, measured = _compute(name, cells_of([100, 200, 300], [300, 200, 100]))
    assert measured.value is not None
    assert measured.value > 0.05


@every_statistic
def test_more_drift_gives_more(name):
    values = [_compute(name, cells_of([100, 100], [100 - by, 100 + by]))[1].value for by in (0, 5, 20, 60, 95)]
    assert values == sorted(values)
    assert len(set(values)) == len(values)


@every_statistic
@given(sides=counts(least_cells=2), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_order_of_cells_is_irrelevant_unless_declared(name, sides, seed):
    statistic = STATISTICS.load(name)
    order = np.random.default_rng(seed).permutation(len(sides[0]))
    _, straight = _compute(name, cells_of(*sides))
    _, shuffled = _compute(name, cells_of(np.array(sides[0])[order], np.array(sides[1])[order]))
    if statistic.order_matters:
        assert (straight.value is None) == (shuffled.value is None)
    else:
        assert shuffled.value == (None if straight.value is None else pytest.approx(straight.value, rel=1e-9, abs=1e-9))


@every_statistic
def test_declared_order_really_matters(name):
    statistic = STATISTICS.load(name)
    _, near = _compute(name, cells_of([10, 20, 30, 40], [40, 30, 20, 10]))
    _, far = _compute(name, cells_of([10, 40, 20, 30], [40, 10, 30, 20]))
    assert (near.value != pytest.approx(far.value)) == statistic.order_matters


@every_statistic
def test_merged_counts_give_what_the_whole_gives_to_the_last_bit(name):
    rng = np.random.default_rng(5)
    parts = rng.integers(0, 50, (24, 8))
    reference = rng.integers(50, 500, 8)
    whole = parts.sum(axis=0)
    backwards = sum(reversed(list(parts)), np.zeros(8, dtype=np.int64))
    _, one = _compute(name, cells_of(reference, whole))
    _, other = _compute(name, cells_of(reference, backwards))
    assert one == other


@every_statistic
@pytest.mark.parametrize("sides", [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([0, 0], [0, 0])])
def test_a_side_without_rows_gives_none_with_a_reason(name, sides):
    _, measured = _compute(name, cells_of(*sides))
    assert measured.value is None
    assert measured.why
    assert all(part is None for part in measured.parts.values())


@every_statistic
def test_inputs_are_left_as_they_were(name):
    seen = cells_of([5, 0, 10], [1, 2, 3])
    before = [seen.reference.copy(), seen.current.copy(), seen.fine_edges.copy()]
    _compute(name, seen)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, [seen.reference, seen.current, seen.fine_edges], strict=True)
    )


@every_statistic
def test_declaration_is_complete_and_registered_under_its_own_name(name):
    statistic = STATISTICS.load(name)
    assert statistic.name == name
    for text in (statistic.title, statistic.definition, statistic.reading, statistic.source):
        assert len(text) > 5
    assert any(character.isdigit() for character in statistic.source), "a source names its year"
    assert statistic.kinds
    assert statistic.bounds[0] < statistic.bounds[1]
    assert isinstance(statistic.unit, Unit)


@every_statistic
def test_statistic_has_values_from_outside(name):
    assert GOLDEN.get(name), f"add cases for {name} to tests/golden/drift_values.py"
    assert all(golden.source for golden in GOLDEN[name])


@every_statistic
def test_statistic_and_its_parts_are_documented(name):
    statistic, page = STATISTICS.load(name), _PAGE.read_text(encoding="utf-8")
    assert f"(`{name}`)" in page
    assert all(f"`{part}`" in page for part in statistic.parts)


@every_statistic
@given(sides=st.lists(counts(), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_many_features_at_once_give_what_each_gives_alone(name, sides):
    statistic = STATISTICS.load(name)
    kind = next(iter(statistic.kinds))
    seen = tuple(replace(cells_of(*pair), kind=kind) for pair in sides)
    together = statistic.measure(Block(seen))
    apart = [statistic.compute(cells) for cells in seen]
    assert [one.why for one in together] == [one.why for one in apart]
    for one, other in zip(together, apart, strict=True):
        assert set(one.parts) == set(other.parts)
        for found, alone in [(one.value, other.value), *((one.parts[part], other.parts[part]) for part in one.parts)]:
            assert found == (None if alone is None else pytest.approx(alone, rel=1e-12, abs=1e-15))
