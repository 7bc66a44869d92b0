"""The integers of a profile: against plain Python, across kernels, partitions and hostile columns."""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left
from collections import Counter as Multiset
from decimal import Decimal
from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.errors import DataError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling import numpy_kernel
from tiltmeter.profiling.cells import TAIL_WIDTHS, cells_of
from tiltmeter.profiling.codec import encode_profile
from tiltmeter.profiling.columns import NumberColumn
from tiltmeter.profiling.distinct import COMPARISON, STORED
from tiltmeter.profiling.edges import numeric_bins
from tiltmeter.profiling.feature_codec import encode_feature
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter, compiled_kernel, profile_rows
from tiltmeter.profiling.lookup import CROWDED, cells_of_values, lookup_of

ODD = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan, 1e12, 0.1, 2.0**53, 1e-300]
numbers = st.one_of(st.sampled_from(ODD), st.floats(), st.floats(-100, 100))
frames = st.lists(numbers, max_size=80)


def fitted(columns, **roles):
    return fit_bins(TableRows(pa.table(columns)), ColumnRoles(**roles))


def profiled(columns, bins):
    return profile_rows(TableRows(pa.table(columns)), bins)


@given(frames, frames, st.booleans())
@settings(deadline=None)
def test_every_integer_equals_a_count_in_plain_python(baseline, window, float32):
    known = np.array([x for x in baseline if not math.isnan(x)]) + 0.0
    with np.errstate(over="ignore"):
        cells = numeric_bins(known.astype(np.float32).astype(float) if float32 else known, float32=float32)
        values = [float(np.float32(x)) + 0.0 if float32 else x + 0.0 for x in window if not math.isnan(x)]
    column = NumberColumn(np.array(window, dtype=float))
    profile = numpy_kernel.count_numbers(column, cells_of(cells, float32=float32), COMPARISON)

    edges = cells.edges.tolist()
    bins = Multiset(bisect_left(edges, x) for x in values)
    assert {i: n for i, n in enumerate(profile.counts.tolist()) if n} == dict(bins)
    finite = [x for x in values if math.isfinite(x)]
    z = [(x - cells.center) / cells.scale if math.isfinite(x - cells.center) else math.inf for x in finite]
    summed = [one for one in z if abs(one) <= 2.0**40]
    assert profile.sum1 == sum(math.floor(one * 2.0**40 + 0.5) for one in summed)
    assert profile.sum2 == sum(math.floor((one * one) * 2.0**40 + 0.5) for one in summed)
    assert profile.extreme == len(z) - len(summed)
    assert profile.missing == len(window) - len(values)
    assert profile.zeros == values.count(0.0)
    assert (profile.negative_infinite, profile.positive_infinite) == (values.count(-math.inf), values.count(math.inf))
    assert (profile.minimum, profile.maximum) == (min(finite, default=None), max(finite, default=None))
    assert profile.distinct.estimate() == (len(set(values)), 0.0)


@given(frames, frames, st.booleans(), st.lists(st.booleans(), min_size=80, max_size=80), st.sampled_from([2, 8, 128]))
@settings(deadline=None, max_examples=150)
def test_the_compiled_kernel_equals_the_reference_to_the_last_integer(baseline, window, float32, present, cap):
    kernel = compiled_kernel()
    assert kernel is not None
    cells = cells_of(
        numeric_bins(np.array([x for x in baseline if not math.isnan(x)]) + 0.0, float32=float32), float32=float32
    )
    flags = np.array(present[: len(window)], dtype=bool)
    column = NumberColumn(np.array(window, dtype=float), flags)
    resolution = STORED._replace(cap=cap)
    fast = kernel.count_numbers(column, cells, kernel.lookup_of(cells.edges), resolution)
    assert encode_feature(fast) == encode_feature(numpy_kernel.count_numbers(column, cells, resolution))


@pytest.mark.parametrize("shape", ["normal", "lognormal", "few", "huge", "wide", "integers", "zero-inflated"])
def test_the_kernels_agree_on_many_rows(shape):
    rng = np.random.default_rng(11)
    values = {
        "normal": rng.normal(size=30_000),
        "lognormal": rng.lognormal(3, 2, 30_000),
        "few": rng.integers(0, 4, 30_000).astype(float),
        "huge": rng.normal(size=30_000) * 10.0 ** rng.integers(-300, 300, 30_000),
        "wide": np.concatenate([rng.normal(size=29_990), np.full(10, 3e9)]),
        "integers": rng.integers(-(2**40), 2**40, 30_000).astype(float),
        "zero-inflated": np.where(rng.random(30_000) < 0.9, 0.0, rng.exponential(1, 30_000)),
    }[shape]
    kernel = compiled_kernel()
    cells = cells_of(numeric_bins(values[:20_000], float32=False), float32=False)
    column = NumberColumn(values * 1.3 + 0.1)
    fast = kernel.count_numbers(column, cells, kernel.lookup_of(cells.edges), COMPARISON)
    assert encode_feature(fast) == encode_feature(numpy_kernel.count_numbers(column, cells, COMPARISON))


@pytest.mark.parametrize("first", [0.0, -0.0, -7.5e3, 9e9, 1e300, math.inf, -math.inf, 0.5])
@pytest.mark.parametrize("hashed", [False, True])
def test_missing_values_change_nothing_but_their_number(first, hashed):
    # Blocks are of 4,096: in the first, the value that stands in for what is missing is `first`; the second is empty.
    rng = np.random.default_rng(13)
    values, present = rng.normal(size=13_000), rng.random(13_000) > 0.2
    values[:5], values[5], present[5] = math.nan, first, True
    present[4_096:8_192] = False
    values[9_000:9_010] = [0.0, -0.0, 5e-324, -5e-324, math.inf, -math.inf, 1e308, -1e308, 2e9, math.nan]
    hashes = rng.integers(0, 2**63, 13_000).astype(np.uint64) if hashed else None
    cells = cells_of(numeric_bins(rng.normal(size=5_000), float32=False), float32=False)
    kernel, column = compiled_kernel(), NumberColumn(values, present, hashes)
    for resolution in (COMPARISON, STORED):
        fast = kernel.count_numbers(column, cells, kernel.lookup_of(cells.edges), resolution)
        assert encode_feature(fast) == encode_feature(numpy_kernel.count_numbers(column, cells, resolution))


@pytest.mark.parametrize("few", [1, 9_999, 10_000, 10_001])
@pytest.mark.parametrize("then_many", [False, True])
def test_distinct_values_are_the_same_whether_they_come_early_or_late(few, then_many):
    rng = np.random.default_rng(17)
    start = rng.permutation(np.tile(np.arange(float(few)), -(-25_000 // few)))
    values = np.concatenate([start, rng.normal(size=12_000)]) if then_many else start
    cells = cells_of(numeric_bins(values[:100], float32=False), float32=False)
    kernel, column = compiled_kernel(), NumberColumn(values)
    fast = kernel.count_numbers(column, cells, kernel.lookup_of(cells.edges), COMPARISON)
    assert encode_feature(fast) == encode_feature(numpy_kernel.count_numbers(column, cells, COMPARISON))
    assert (fast.distinct.hashes is None) == (len(set(values)) > 10_000)


@given(st.lists(st.floats(allow_nan=False), max_size=40), st.lists(st.floats(allow_nan=False), min_size=1, max_size=40))
@settings(deadline=None)
def test_the_lookup_never_begins_behind_the_bin(edges, values):
    ascending = np.unique(np.array(edges, dtype=float) + 0.0)
    table, wanted = lookup_of(ascending), np.array(values) + 0.0
    entries = table.starts[cells_of_values(wanted, table)]
    position = ascending.searchsorted(wanted)
    ahead = position - (entries & (CROWDED - 1))
    assert np.all(ahead >= 0)
    assert np.all(ahead[entries < CROWDED] <= 1), "one comparison is enough where the cell is not crowded"


def mixed_table(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    values = rng.lognormal(1, 2, rows)
    values[rng.random(rows) < 0.05] = np.nan
    return pa.table(
        {
            "amount": values,
            "big": pa.array(rng.integers(2**60, 2**60 + 40, rows)),
            "plan": pa.array(rng.choice(["a", "b", "c", None, "d" * 300], rows).tolist()),
            "flag": pa.array(rng.random(rows) < 0.3),
            "note": pa.array([f"text {i % 1_700}" for i in rng.integers(0, 10**6, rows)]),
            "id": pa.array([f"lead-{i}" for i in rng.integers(0, rows // 2, rows)]),
            "won": rng.choice(["yes", "No", "", "Y"], rows),
        }
    )


@pytest.mark.parametrize("parts", [2, 7, 50])
def test_any_partition_and_order_of_merging_equals_the_whole_to_the_last_bit(parts):
    baseline, window = mixed_table(4_000, 1), mixed_table(6_000, 2)
    bins = fit_bins(TableRows(baseline), ColumnRoles(entity="id", label="won"))
    whole = profile_rows(TableRows(window), bins)
    rng = np.random.default_rng(parts)
    cuts = np.sort(rng.integers(0, 6_000, parts - 1))
    pieces = [window.slice(start, stop - start) for start, stop in zip([0, *cuts], [*cuts, 6_000], strict=True)]
    profiles = [profile_rows(TableRows(piece), bins) for piece in pieces]
    rng.shuffle(profiles)
    assert encode_profile(reduce(add, profiles)) == encode_profile(whole)


def test_profiles_of_different_bins_do_not_add():
    one, other = fitted({"x": [1.0, 2.0]}), fitted({"x": [1.0, 3.0]})
    with pytest.raises(DataError, match="different bins"):
        profiled({"x": [1.0]}, one) + profiled({"x": [1.0]}, other)


def test_new_levels_beyond_the_cap_keep_those_with_the_smallest_hashes():
    bins = fitted({"c": ["known"] * 3})
    names = [f"new-{i}" for i in range(25_000)]
    whole = profiled({"c": names * 2}, bins).features["c"]
    parts = [profiled({"c": part}, bins).features["c"] for part in (names[:20_000], names, names[20_000:])]
    total = parts[0] + parts[1] + parts[2]
    assert len(whole.new) == len(total.new) == 10_000
    assert whole.new == total.new
    assert whole.new_rows == total.new_rows == 50_000
    assert set(whole.new.values()) == {2}
    count, error = whole.distinct.estimate()
    assert count == pytest.approx(25_000, rel=4 * error)


@pytest.mark.parametrize(
    ("baseline", "window", "found"),
    [
        ([1.0, 2.0], ["a", "b"], "text"),
        ([1.0, 2.0], [True, False], "boolean"),
        (["a", "b"], [1, 2], "numeric"),
        (["a", "b"], [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "datetime"),
        ([dt.date(2026, 1, 1)], [1.5], "numeric"),
        ([True, False], ["x", "y"], "text"),
    ],
)
def test_a_type_that_flips_overnight_is_named_and_counts_nothing(baseline, window, found):
    profile = profiled({"x": window}, fitted({"x": baseline}))
    assert profile.retyped == {"x": found}
    assert "x" not in profile.features


@pytest.mark.parametrize(
    ("baseline", "window"),
    [([1.0, 2.0], [1, 2]), ([1, 2, 3], [1.5]), ([True, False], [0, 1]), ([0, 1], [True]), (["a"], [None, None])],
)
def test_what_means_the_same_is_no_type_change(baseline, window):
    profile = profiled({"x": window}, fitted({"x": baseline}))
    assert profile.retyped == {}
    assert profile.features["x"].rows == len(window)


def test_zero_and_one_are_the_booleans_of_another_file():
    profile = profiled({"x": [0, 1, 1, 2]}, fitted({"x": [True, True, False]}))
    counts = dict(zip(("true", "false"), profile.features["x"].counts.tolist(), strict=True))
    assert counts == {"true": 2, "false": 1}
    assert profile.features["x"].new == {"2": 1}


def test_gone_and_new_columns_are_told_apart():
    bins = fitted({"a": [1.0, 2.0], "b": [1.0, 2.0], "t": [1, 2]}, ignore=("t",))
    profile = profiled({"a": [1.0], "t": [1], "c": [1]}, bins)
    assert set(profile.features) == {"a"}
    assert profile.new_columns == {"c"}


def test_declared_values_are_missing():
    bins = fitted(
        {"pdays": [1, 2, 999], "job": ["a", "unknown", "b"]}, missing_values={"pdays": (999,), "job": ("unknown",)}
    )
    profile = profiled({"pdays": [999, 999.0, 3, None], "job": ["unknown", "a", None, "c"]}, bins)
    assert profile.features["pdays"].missing == 3
    assert profile.features["pdays"].maximum == 3
    assert profile.features["job"].missing == 2
    assert bins.features["job"].cells.levels == ("a", "b")


def test_an_empty_window_has_its_features_with_nothing_in_them():
    bins = fitted({"x": [1.0, 2.0], "c": ["a", "b"]}, label="c")
    profile = profiled({"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())}, bins)
    assert profile.rows == 0
    assert profile.features["x"].counts.sum() == 0
    assert profile.labelled == 0


def test_float32_values_fall_where_their_double_fell():
    # 0.1 and 0.3 have no exact form; as 32-bit floats they lie on the other side of the double.
    values = np.random.default_rng(5).choice([0.1, 0.3, 0.7, 1.1], 10_000)
    bins = fitted({"x": values})
    doubles = profiled({"x": values}, bins).features["x"]
    floats = profiled({"x": values.astype(np.float32)}, bins).features["x"]
    assert np.array_equal(doubles.counts, floats.counts)


def test_doubles_are_rounded_into_float32_bins():
    values = np.random.default_rng(5).choice([0.1, 0.3, 0.7, 1.1], 10_000)
    bins = fitted({"x": values.astype(np.float32)})
    assert bins.features["x"].cells.float32
    one, other = (
        profiled({"x": values}, bins).features["x"],
        profiled({"x": values.astype(np.float32)}, bins).features["x"],
    )
    assert encode_feature(one) == encode_feature(other)


def test_values_outside_the_baseline_fall_into_log_bins():
    bins = fitted({"x": np.arange(0.0, 101.0)})
    cells = bins.features["x"].cells
    assert cells.scale == 32.0  # IQR 50
    profile = profiled({"x": [100.0, 100.1, 108.0, 108.1, 1e13, math.inf, 0.0, -8.0, -7.9, -math.inf]}, bins)
    # High limits: 100 + 32·2^(-2) = 108, then 108.72…; 100.1 and 108 lie in bin 0, 108.1 in bin 1.
    tail = profile.features["x"].high_tail
    assert tail[0] == 2
    assert tail[1] == 1
    assert tail[328] == 1, "infinity lies beyond the last limit"
    # Low limits mirror them: -8 is the upper end of bin 1, since bins are right-closed.
    assert profile.features["x"].low_tail == {0: 1, 1: 1, 328: 1}
    index = next(i for i in tail if 1 < i < 328)
    assert 100 + 32 * TAIL_WIDTHS[index - 1] < 1e13 <= 100 + 32 * TAIL_WIDTHS[index]


def test_integers_beyond_2_to_the_53_are_told_apart():
    profile = profiled({"x": pa.array([2**53, 2**53 + 1, 2**53 + 2])}, fitted({"x": [1, 2, 3]}))
    assert profile.features["x"].distinct.estimate()[0] == 3
    huge = profiled({"x": pa.array([2**64 - 1, 2**63], type=pa.uint64())}, fitted({"x": [1, 2, 3]}))
    assert huge.features["x"].maximum == float(2**64)


def test_decimals_and_dates_are_numbers():
    bins = fitted({"d": [Decimal("1.10"), Decimal("2.20")], "t": [dt.date(1970, 1, 2), dt.date(1970, 1, 3)]})
    assert bins.features["t"].kind is FeatureKind.DATETIME
    profile = profiled({"d": [Decimal("1.1"), None], "t": [dt.datetime(1970, 1, 2, tzinfo=dt.UTC), None]}, bins)
    assert profile.features["d"].minimum == 1.1
    assert profile.features["t"].minimum == 86_400.0
    assert profile.features["t"].missing == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_of_time_gives_seconds(unit):
    array = pa.array([1_500_000_000], type=pa.timestamp("s")).cast(pa.timestamp(unit))
    assert profiled({"t": array}, fitted({"t": array})).features["t"].minimum == 1_500_000_000.0


def test_labels_are_converted_in_any_spelling():
    bins = fitted({"x": [1.0, 2.0], "y": ["no", "yes"]}, label="y")
    assert [profiled({"x": [1.0], "y": [word]}, bins).converted for word in ("YES", " y ", "True", "1", "no", "2")] == [
        1, 1, 1, 1, 0, 0,
    ]  # fmt: skip
    numbers = profiled({"x": [1.0] * 3, "y": [1, 0, None]}, bins)
    assert (numbers.converted, numbers.labelled) == (1, 2)


def test_entities_are_counted_apart_from_rows():
    bins = fitted({"x": [1.0, 2.0], "id": ["a", "b"]}, entity="id")
    profile = profiled({"x": [1.0] * 5, "id": ["a", "a", "b", None, "b"]}, bins)
    assert profile.entities.estimate() == (2, 0.0)
    assert profile.identified == 4
    assert profiled({"x": [1.0] * 3, "id": pa.nulls(3)}, bins).identified == 0
    assert profiled({"x": [1.0] * 3, "id": ["", "", "c"]}, bins).identified == 1  # an empty text names nobody
    assert profiled({"x": [1.0] * 3}, bins).entities is None


@pytest.mark.parametrize("encode", ["plain", "dictionary", "large", "view"])
def test_every_form_of_text_gives_the_same_levels(encode):
    words = pa.array(["b", "a", None, "b", "new"])
    array = {
        "plain": words,
        "dictionary": words.dictionary_encode(),
        "large": words.cast(pa.large_string()),
        "view": words.cast(pa.string_view()),
    }[encode]
    profile = profiled({"c": array}, fitted({"c": ["a", "b", "b"]}))
    level = profile.features["c"]
    assert (level.counts.tolist(), level.new, level.missing) == ([2, 1], {"new": 1}, 1)


HOSTILE = [
    pa.array(["", "\x00", "💥", "\u202eabc", "é", "e\u0301", "x" * 1_000_000]),
    pa.array([b"\xff\xfe", b"", None]),
    pa.array([[1, 2], None, []]),
    pa.array([{"a": 1}, None]),
    pa.array([math.nan, math.inf, -math.inf, 1e308, 5e-324, -0.0]),
    pa.array([2**63 - 1, -(2**63)]),
    pa.array([2**64 - 1], type=pa.uint64()),
    pa.array([Decimal("1e30"), Decimal("-1.5"), None]),
    pa.array([None, None]),
    pa.nulls(3),
    pa.array([True, None]),
    pa.array([dt.time(1, 2)]),
    pa.array([dt.timedelta(days=400_000)]),
    pa.array([-(2**63) + 1], type=pa.timestamp("us")),
    pa.array([2**31 - 1], type=pa.date32()),
    pa.array([1.5, None], type=pa.float16()),
    pa.array(["a", None]).dictionary_encode(),
    pa.array([1, 1, 2]).dictionary_encode(),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array(["x", None, "x"])),
    pa.array(["a", "b"]).slice(1),
    pa.array([1.5, 2.5, 3.5]).slice(2),
    pa.array([], type=pa.string()),
]


@pytest.mark.parametrize("baseline", HOSTILE, ids=lambda one: f"{one.type}")
@pytest.mark.parametrize("kind", [None, *FeatureKind])
def test_hostile_columns_are_counted_or_named_and_never_raise(baseline, kind):
    if kind is not None and kind.is_binned and not _is_number(baseline):
        return
    table = pa.table({"x": baseline, "row": np.zeros(len(baseline))})
    table = pa.concat_tables([table, table]) if len(table) else pa.table({"x": pa.nulls(1), "row": [0.0]})
    bins = fit_bins(TableRows(table), ColumnRoles(kinds={} if kind is None else {"x": kind}))
    for window in HOSTILE:
        profile = profile_rows(TableRows(pa.table({"x": window})), bins)
        assert ("x" in profile.features) != ("x" in profile.retyped)
        assert profile.rows == len(window)
        if "x" in profile.features:
            feature = profile.features["x"]
            assert feature.rows == len(window)
            held = getattr(feature, "counts", None)
            if held is not None:
                assert int(held.sum()) + feature.missing + getattr(feature, "new_rows", 0) == len(window)


def _is_number(array: pa.Array) -> bool:
    from tiltmeter.profiling.arrow_columns import family

    return family(array.type) in ("numeric", "datetime", "boolean", "any")


def test_all_rows_are_read_once_with_progress():
    seen = []
    table = mixed_table(3_000, 4)
    bins = fit_bins(TableRows(table), ColumnRoles())
    profile_rows(TableRows(table), bins, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3_000, 3_000)


def test_a_compiled_counter_gives_the_profile_of_the_reference():
    table = mixed_table(5_000, 6)
    bins = fit_bins(TableRows(mixed_table(3_000, 5)), ColumnRoles(entity="id", label="won"))
    batch = table.combine_chunks().to_batches()[0]
    slow, fast = Counter(bins), Counter(bins, compiled=True)
    assert encode_profile(fast.count(fast.plain(batch))) == encode_profile(slow.count(slow.plain(batch)))
