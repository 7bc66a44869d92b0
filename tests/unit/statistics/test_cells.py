"""Comparison cells: what is kept, what is pooled, and what is dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.domain.profile import LevelBins
from tiltmeter.statistics.cells import MISSING, OTHER, Side, cell_names, comparison_cells, numeric_cells
from tiltmeter.statistics.edges import range_names, short_number
from unit.statistics.samples import numeric_bins, numeric_profile


def _side(counts, *, unseen=0, missing=0, tested=None):
    rows = sum(counts) + unseen + missing
    return Side(np.array(counts, dtype=np.int64), rows, missing, rows if tested is None else tested)


def _cells(reference, current, most=None):
    found = comparison_cells(reference, current, most=most)
    return found.reference.tolist(), found.current.tolist()


def test_plain_cells_pass_through():
    assert _cells(_side([50, 50]), _side([20, 80])) == ([50, 50], [20, 80])


def test_missing_is_a_cell_of_its_own_and_never_pooled():
    assert _cells(_side([100], missing=1), _side([100])) == ([100, 1], [100, 0])
    assert _cells(_side([100]), _side([100], missing=1)) == ([100, 0], [100, 1])


@pytest.mark.parametrize(("rare", "kept"), [(9, False), (10, True)])
def test_a_cell_is_kept_from_five_expected_rows_on_the_smaller_side(rare, kept):
    # (c + r)/(n + m) · min(n, m) = rare/2000 · 1000 ≥ 5 from 10 rows on
    reference, current = _side([1000 - rare, rare]), _side([1000, 0])
    found = comparison_cells(reference, current)
    assert (found.kept.tolist() == [0, 1]) == kept
    assert found.has_other != kept
    assert found.reference.tolist() == [1000 - rare, rare]


def test_the_smaller_side_counts_entities():
    reference, current = _side([1000, 100], tested=50), _side([1000, 100], tested=1100)
    # 200/2200 · 50 = 4.5
    assert comparison_cells(reference, current).kept.tolist() == [0]
    more = _side([1000, 100], tested=56)
    assert comparison_cells(more, current).kept.tolist() == [0, 1]
    assert comparison_cells(current, more).kept.tolist() == [0, 1]


def test_what_the_reference_never_held_is_pooled_however_large():
    found = comparison_cells(_side([1000, 0]), _side([500, 500]))
    assert (found.reference.tolist(), found.current.tolist()) == ([1000, 0], [500, 500])
    assert (found.kept.tolist(), found.has_other) == ([0], True)


def test_new_levels_and_rare_levels_share_one_cell():
    assert _cells(_side([990, 10, 0], unseen=5), _side([80, 0, 3], unseen=17)) == ([990, 15], [80, 20])


def test_cells_empty_on_both_sides_are_dropped():
    assert _cells(_side([100, 0, 100]), _side([100, 0, 100])) == ([100, 100], [100, 100])


def test_only_the_largest_levels_of_both_sides_keep_a_cell():
    found = comparison_cells(_side([30, 30, 30, 30]), _side([10, 40, 10, 70]), most=2)
    assert found.kept.tolist() == [3, 1]
    assert (found.reference.tolist(), found.current.tolist()) == ([30, 30, 60], [70, 40, 20])


def test_ties_go_to_the_better_rank_in_the_baseline():
    assert comparison_cells(_side([50] * 10), _side([50] * 10), most=3).kept.tolist() == [0, 1, 2]


def test_everything_too_rare_is_called_so():
    found = comparison_cells(_side([1] * 300), _side([1] * 300))
    assert found.only_other
    assert not comparison_cells(_side([100]), _side([100])).only_other
    assert not comparison_cells(_side([100, 1]), _side([100, 1])).only_other
    assert not comparison_cells(_side([0], missing=9), _side([0], missing=9)).only_other


def test_a_side_without_rows_keeps_nothing():
    found = comparison_cells(_side([10, 10]), _side([0, 0]))
    assert (found.reference.tolist(), found.current.tolist()) == ([20], [0])
    assert comparison_cells(_side([0]), _side([0])).reference.size == 0


_counts = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 10**15)), min_size=1, max_size=30)


@given(st.data())
def test_no_row_is_lost_or_counted_twice(data):
    counts = data.draw(_counts)
    current = data.draw(st.lists(st.integers(0, 10**15), min_size=len(counts), max_size=len(counts)))
    extra = [data.draw(st.integers(0, 100)) for _ in range(4)]
    sides = _side(counts, unseen=extra[0], missing=extra[1]), _side(current, unseen=extra[2], missing=extra[3])
    found = comparison_cells(*sides, most=data.draw(st.one_of(st.none(), st.integers(0, 5))))
    assert int(found.reference.sum()) == sides[0].rows
    assert int(found.current.sum()) == sides[1].rows
    assert bool((found.reference + found.current > 0).all())


def test_numeric_cells_follow_the_deciles():
    values = np.arange(1.0, 1001.0)
    bins = numeric_bins(values)
    profile = numeric_profile(bins, values)
    found = numeric_cells(bins, (profile, profile), (1000, 1000))
    assert found.reference.tolist() == [100] * 10


def test_cells_are_named_for_people():
    bins = LevelBins(("web", "phone"))
    found = comparison_cells(_side([500, 1], missing=1), _side([500, 0]))
    assert cell_names(bins, found) == ["web", OTHER, MISSING]


def test_ranges_are_named_for_people():
    edges = np.array([np.nextafter(0.0, -1.0), 0.0, 12.5, 1500.0])
    assert range_names(edges, range(5)) == ["≤ -4.94e-324", "0", "0 – 12.5", "12.5 – 1,500", "> 1,500"]
    assert range_names(np.empty(0), [0]) == ["all values"]


def test_dates_are_named_as_dates():
    assert range_names(np.array([0.0, 86400.0 * 366]), range(3), dates=True) == [
        "≤ 1970-01-01 00:00", "1970-01-01 00:00 – 1971-01-02 00:00", "> 1971-01-02 00:00",
    ]  # fmt: skip
    assert range_names(np.array([1e300]), [0], dates=True) == ["≤ 1e+300"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "-0.5"),
        (1234.6, "1,235"),
        (999.94, "999.9"),
        (1e7, "1e+07"),
        (1e-4, "0.0001"),
        (9e-5, "9e-05"),
    ],
)
def test_numbers_are_short(value, text):
    assert short_number(value) == text
