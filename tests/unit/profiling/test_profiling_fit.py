"""Edges, fences, levels and kinds of a baseline, worked out by hand where numbers are claimed."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate, groupby

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.errors import EmptyWindow, UsageError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.domain.profile import LevelBins, NumericBins, TextBins
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling.buffers import combined
from tiltmeter.profiling.edges import numeric_bins, share_edges
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kinds import inferred_kind


def pred(value: float) -> float:
    return math.nextafter(value, -math.inf)


def fitted(columns: dict, **roles):
    rows = TableRows(pa.table(columns))
    return fit_bins(rows, ColumnRoles(**roles))


def deciles(values) -> list[float]:
    return share_edges(np.sort(np.asarray(values, dtype=float)), 10).tolist()


def test_ten_equal_values_are_cut_after_each_but_the_last():
    # N = 10 distinct, none is an atom (10·1 > 10 is false); b = min((2·10·10+10) div 20, 40·10 div 10) = 10;
    # the edge after the last value of the run is left out.
    assert deciles(range(1, 11)) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_value_with_exactly_a_tenth_of_the_rows_is_no_atom_and_with_more_it_is():
    ninety = list(range(100, 190))
    assert pred(5.0) not in deciles([5] * 10 + ninety)
    assert pred(5.0) in deciles([5] * 11 + ninety)


def test_a_constant_gets_a_cell_of_its_own_between_two_open_ones():
    assert deciles([7.0] * 1000) == [pred(7.0), 7.0]


def test_ninety_percent_zeros_leave_two_bins_worth_of_rows_to_the_rest():
    # N = 100: zeros 90 are the atom, R = 10, k = 9; the run above zero holds M = 10:
    # b = max(1, min((2·9·10 + 10) div 20, 40·10 div 100)) = min(9, 4) = 4, edges where 4C >= 10j: C = 3, 5, 8.
    assert deciles([0.0] * 90 + list(range(1, 11))) == [pred(0.0), 0.0, 3.0, 5.0, 8.0]


def test_a_run_never_spans_an_atom():
    values = [1, 2, 3] * 2 + [5] * 90 + [7, 8]
    edges = deciles(values)
    assert pred(5.0) in edges
    assert 5.0 in edges
    assert all(edge not in edges for edge in (3.0, 8.0)), "the last value of a run is no edge"


def test_adjacent_atoms_keep_one_cell_each():
    assert deciles([1.0] * 50 + [2.0] * 50) == [pred(1.0), 1.0, pred(2.0), 2.0]


def edges_by_the_definition(values: list[float], parts: int) -> list[float]:
    """The definition in plain Python: atoms, then runs between them cut by cumulated counts."""
    counts = sorted(Counter(values).items())
    total = len(values)
    atoms = {value for value, weight in counts if parts * weight > total}
    left = total - sum(weight for value, weight in counts if value in atoms)
    wanted = max(1, parts - len(atoms))
    edges = {edge for value in atoms for edge in (pred(value), value)}
    for is_atom, group in groupby(counts, key=lambda one: one[0] in atoms):
        run = list(group)
        if is_atom:
            continue
        mass = sum(weight for _, weight in run)
        bins = max(1, min((2 * wanted * mass + left) // (2 * left), 4 * parts * mass // total))
        for j in range(1, bins):
            cumulated = accumulate(weight for _, weight in run)
            edge = next(value for (value, _), upto in zip(run, cumulated, strict=True) if bins * upto >= j * mass)
            edges |= {edge} - {run[-1][0]}
    return sorted(edges)


@given(
    st.lists(st.one_of(st.integers(0, 6).map(float), st.floats(-1e9, 1e9)), min_size=1, max_size=120),
    st.sampled_from([10, 1_024]),
)
@settings(deadline=None)
def test_edges_are_those_of_the_definition(values, parts):
    plain = [value + 0.0 for value in values]
    assert share_edges(np.sort(np.array(plain)), parts).tolist() == edges_by_the_definition(plain, parts)


def test_continuous_data_has_nine_decile_edges_and_about_a_thousand_fine_ones():
    cells = numeric_bins(np.random.default_rng(1).normal(size=100_000), float32=False)
    assert cells.deciles.size == 9
    assert 1_000 <= cells.fine.size <= 1_030


def test_positions_point_at_what_they_say():
    values = np.arange(1, 101, dtype=float)
    cells = numeric_bins(values, float32=False)
    # Quartiles by the inverse of the empirical distribution: 25 and 75; IQR 50; fences -50 and 150.
    assert [cells.edges[p] for p in cells.iqr] == [pred(-50.0), 150.0]
    assert [cells.edges[p] for p in cells.range] == [pred(1.0), 100.0]
    mean, std = 50.5, math.sqrt(sum((x - 50.5) ** 2 for x in range(1, 101)) / 99)
    assert [cells.edges[p] for p in cells.z] == pytest.approx([mean - 3 * std, mean + 3 * std], rel=1e-9)
    assert cells.center == 50.0
    assert cells.scale == 32.0, "2^floor(log2 50)"


def test_one_huge_value_does_not_set_the_scale_of_the_sums():
    cells = numeric_bins(np.concatenate([np.arange(999.0), [1e12]]), float32=False)
    assert cells.scale == 256.0


@pytest.mark.parametrize(
    ("values", "scale"),
    [([5.0] * 10, 4.0), ([0.0] * 10, 1.0), ([0.0] * 99 + [100.0], 8.0), ([-1e308, -1e308, 1e308, 1e308], None)],
)
def test_the_scale_falls_back_to_deviation_then_median_then_one(values, scale):
    found = numeric_bins(np.array(values), float32=False).scale
    assert math.frexp(found)[0] == 0.5, "a power of two"
    assert scale is None or found == scale


def test_a_baseline_without_finite_values_still_has_a_cell():
    cells = numeric_bins(np.array([np.inf, -np.inf]), float32=False)
    assert cells.edges.size == 0
    assert cells.range is None


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=60))
@settings(deadline=None)
def test_edges_ascend_without_repeats_whatever_the_values(values):
    cells = numeric_bins(np.array(values) + 0.0, float32=False)
    assert np.all(cells.edges[1:] > cells.edges[:-1])
    for positions in (cells.deciles, cells.fine):
        assert np.all((positions >= 0) & (positions < max(cells.edges.size, 1)))


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array([1, 2, 3]), FeatureKind.NUMERIC),
        (pa.array([0, 1, None, 1]), FeatureKind.BOOLEAN),
        (pa.array([0.0, 1.0, math.nan]), FeatureKind.BOOLEAN),
        (pa.array([1, 1, 1]), FeatureKind.NUMERIC),
        (pa.array([True, False]), FeatureKind.BOOLEAN),
        (pa.array(["true", "FALSE", None]), FeatureKind.BOOLEAN),
        (pa.array(["yes", "no"]), FeatureKind.CATEGORICAL),
        (pa.array([f"id-{i}" for i in range(1_001)]), FeatureKind.TEXT),
        (pa.array([f"id-{i}" for i in range(1_000)]), FeatureKind.CATEGORICAL),
        (pa.array([f"id-{i}" for i in range(1_500)] * 2), FeatureKind.CATEGORICAL),
        (pa.array(list(range(5_000))), FeatureKind.NUMERIC),
        (pa.array([0], type=pa.timestamp("us", "UTC")), FeatureKind.DATETIME),
        (pa.array([0], type=pa.date32()), FeatureKind.DATETIME),
        (pa.nulls(5), FeatureKind.CATEGORICAL),
    ],
)
def test_kinds_follow_type_and_values(array, kind):
    assert inferred_kind(array) is kind


def test_words_that_mean_missing_leave_a_numeric_column_numeric():
    bins = fitted({"age": ["1", "2", "unknown"]}, missing_values={"age": ("unknown",)})
    assert bins.features["age"].kind is FeatureKind.NUMERIC


def test_the_kind_a_user_insists_on_wins():
    bins = fitted({"zip": [10115, 10117, 10115]}, kinds={"zip": FeatureKind.CATEGORICAL})
    assert bins.features["zip"].cells.levels == ("10115", "10117")


def test_a_score_of_zeros_and_ones_stays_numeric():
    bins = fitted({"score": [0, 1, 1], "flag": [0, 1, 1]}, score="score")
    assert isinstance(bins.features["score"].cells, NumericBins)
    assert isinstance(bins.features["flag"].cells, LevelBins)


def test_levels_are_ranked_by_count_then_name_and_cut_at_the_cap():
    rows = TableRows(pa.table({"plan": ["b", "a", "c", "c", None]}))
    assert fit_bins(rows, ColumnRoles()).features["plan"].cells.levels == ("c", "a", "b")
    assert fit_bins(rows, ColumnRoles(), level_cap=2).features["plan"].cells.levels == ("c", "a")


def test_free_text_freezes_nothing():
    bins = fitted({"note": [f"note {i}" for i in range(2_000)]})
    assert isinstance(bins.features["note"].cells, TextBins)


def test_label_entity_time_and_ignored_columns_are_no_features():
    table = {"x": [1.0, 2.0], "y": [0, 1], "id": ["a", "b"], "at": [1, 2], "extra": [1, 2]}
    bins = fitted(table, label="y", entity="id", time="at", ignore=("extra",))
    assert list(bins.features) == ["x"]
    assert bins.others == {"y", "id", "at", "extra"}


def test_an_unknown_column_is_named_with_the_closest_known_one():
    with pytest.raises(UsageError, match=r'there is no column "agee".*did you mean "age"'):
        fitted({"age": [1, 2]}, features=("agee",))


def test_no_rows_make_no_baseline():
    with pytest.raises(EmptyWindow):
        fitted({"age": pa.array([], type=pa.int64())})


def test_bins_id_is_the_hash_of_what_is_frozen():
    same = fitted({"x": [1.0, 2.0, 3.0]}).bins_id
    assert same == fitted({"x": [3.0, 1.0, 2.0]}).bins_id
    assert same != fitted({"x": [1.0, 2.0, 4.0]}).bins_id
    assert len(same) == 16


def test_beyond_the_limit_every_second_power_row_makes_the_bins():
    table = pa.table({"x": np.arange(1_000.0)})
    rows = TableRows(table)
    bins = fit_bins(rows, ColumnRoles(), sample_rows=300)
    every_fourth = fit_bins(TableRows(table.take(pa.array(np.arange(0, 1_000, 4)))), ColumnRoles())
    assert bins.fit_rule == "every 4th of 1000 rows in their order"
    assert np.array_equal(bins.features["x"].cells.edges, every_fourth.features["x"].cells.edges)


class InParts(TableRows):
    """A table in batches of odd size."""

    def batches(self, columns=None):
        yield from self.table.select(list(columns)).to_batches(max_chunksize=37)


def test_the_sample_does_not_depend_on_batches():
    table = pa.table({"x": np.random.default_rng(3).normal(size=1_000)})
    one = fit_bins(TableRows(table), ColumnRoles(), sample_rows=150)
    other = fit_bins(InParts(table), ColumnRoles(), sample_rows=150)
    assert one.bins_id == other.bins_id


@pytest.mark.parametrize("type_", [pa.string(), pa.binary(), pa.large_string()])
def test_chunks_of_more_text_than_offsets_reach_become_one_array_with_wider_ones(type_):
    chunks = pa.chunked_array([pa.array(["a", None, "bc"]), pa.array(["d" * 50])]).cast(type_)
    narrow, wide = combined(chunks), combined(chunks, most_bytes=40)
    assert narrow.type == type_
    assert wide.type in (pa.large_string(), pa.large_binary())
    assert narrow.to_pylist() == wide.to_pylist() == chunks.to_pylist()
