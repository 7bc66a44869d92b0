"""Scores added up by segment: against plain Python, and the same for every order and partition of the rows."""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.profiling.score_sums import score_sums
from tiltmeter.statistics.moments import moments
from tiltmeter.statistics.segmenting import segmentation_of

ROLES = ColumnRoles(score="score")
KNOWN = pa.table(
    {
        "plan": ["a", "b", "c", "a"] * 50,
        "size": np.arange(200.0),
        "flag": [True, False] * 100,
        "score": np.linspace(0, 1, 200),
    }
)
BINS = fit_bins(TableRows(KNOWN), ROLES)

rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "new", None]),
        st.one_of(st.none(), st.floats(-50, 250), st.sampled_from([math.inf, -math.inf, math.nan, -0.0])),
        st.sampled_from([True, False, None]),
        st.one_of(st.none(), st.floats(0, 1), st.floats(), st.sampled_from([1e308, -1e300, 1e12, math.nan])),
    ),
    max_size=60,
)


def table(drawn):
    columns = list(zip(*drawn, strict=True)) or [(), (), (), ()]
    kinds = {"plan": pa.string(), "size": pa.float64(), "flag": pa.bool_(), "score": pa.float64()}
    return pa.table(
        {name: pa.array(list(values), kind) for (name, kind), values in zip(kinds.items(), columns, strict=True)}
    )


def segmentations(window):
    profile = profile_rows(TableRows(window), BINS)
    return {n: segmentation_of(BINS.features[n], [profile.features[n]]) for n in ("plan", "size", "flag")}


def plainly(window, segmentations):
    """Segment by segment in plain Python, the sums in exact fractions."""
    score = BINS.features["score"].cells
    edges = {"size": BINS.features["size"].cells.edges[BINS.features["size"].cells.deciles].tolist()}
    found = {}
    for name, one in segmentations.items():
        total = [[0, Fraction(0)] for _ in one.names]
        for value, of_row in zip(window.column(name).to_pylist(), window.column("score").to_pylist(), strict=True):
            if of_row is None or not math.isfinite(of_row) or abs((of_row - score.center) / score.scale) > 2.0**40:
                continue
            if value is None or value != value:  # noqa: PLR0124 - NaN
                at = one.missing
            elif name == "size":
                at = bisect_left(edges[name], value)
            else:
                word = value if name == "plan" else str(value).lower()
                at = one.names.index(word) if word in one.names else one.other
            fixed = math.floor((of_row - score.center) / score.scale * 2.0**40 + 0.5)
            total[at] = [total[at][0] + 1, total[at][1] + Fraction(fixed, 2**40)]
        found[name] = [(count, float(whole) * score.scale) for count, whole in total]
    return found


@given(rows)
@settings(deadline=None)
def test_every_segment_equals_a_sum_in_plain_python(drawn):
    window = table(drawn)
    chosen = segmentations(window)
    found = score_sums(TableRows(window), BINS, chosen)
    expected = plainly(window, chosen)
    if not drawn:
        assert found == {}
        return
    assert {n: list(zip(s.rows.tolist(), s.sums.tolist(), strict=True)) for n, s in found.items()} == expected


@given(rows, st.integers(1, 7), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_no_order_and_no_partition_changes_a_digit(drawn, size, shuffle):
    mixed = list(drawn)
    shuffle.shuffle(mixed)
    window, other = table(drawn), table(mixed)
    chosen = segmentations(window)
    whole = score_sums(TableRows(window), BINS, chosen)
    pieces = pa.Table.from_batches(other.to_batches(max_chunksize=size), schema=other.schema)
    parts = score_sums(TableRows(pieces), BINS, chosen)
    assert whole.keys() == parts.keys()
    for name, sums in whole.items():
        assert sums.rows.tolist() == parts[name].rows.tolist()
        assert sums.sums.tolist() == parts[name].sums.tolist()


def test_the_segments_add_up_to_the_mean_of_the_score():
    rng = np.random.default_rng(3)
    window = table([(rng.choice(list("abcd")), float(s), True, float(p)) for s, p in rng.random((500, 2))])
    score = BINS.features["score"]
    mean = moments(score.cells, profile_rows(TableRows(window), BINS).features["score"]).mean
    for sums in score_sums(TableRows(window), BINS, segmentations(window)).values():
        assert sums.rows.sum() == 500
        assert score.cells.center + sums.sums.sum() / 500 == pytest.approx(mean, abs=1e-15)


def test_new_levels_with_enough_rows_stand_alone():
    window = table([("d", 1.0, True, 0.5)] * 50 + [("new", 1.0, True, 0.25)] * 49)
    chosen = segmentations(window)["plan"]
    assert chosen.new == {"d": 3}
    assert chosen.names[-3:] == ("d", "(other)", "(missing)")
    sums = score_sums(TableRows(window), BINS, {"plan": chosen})["plan"]
    assert sums.rows.tolist() == [0, 0, 0, 50, 49, 0]


def test_a_feature_of_another_type_or_without_a_column_is_left_out():
    window = table([("a", 1.0, True, 0.5)] * 3)
    chosen = segmentations(window)
    changed = window.drop_columns(["size", "plan"]).append_column("size", [["x"] * 3])
    assert set(score_sums(TableRows(changed), BINS, chosen)) == {"flag"}


def test_a_score_that_is_no_number_has_no_sums():
    labels = pa.table({"plan": ["a", "b"] * 100, "score": ["hot", "cold"] * 100})
    bins = fit_bins(TableRows(labels), ROLES)
    profile = profile_rows(TableRows(labels), bins)
    chosen = {"plan": segmentation_of(bins.features["plan"], [profile.features["plan"]])}
    assert score_sums(TableRows(labels), bins, chosen) == {}


def test_text_and_dates_have_no_segments():
    stamps = pa.array(np.arange(2000), pa.timestamp("s"))
    names = [f"lead {n}" for n in range(2000)]
    data = pa.table({"at": stamps, "name": names, "score": np.linspace(0, 1, 2000)})
    bins = fit_bins(TableRows(data), ROLES)
    assert [segmentation_of(bins.features[n], []) for n in ("at", "name")] == [None, None]
