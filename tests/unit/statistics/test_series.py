"""Many windows in columns: each number is that of the window alone, to the last bit."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lead_frames import leads
from tiltmeter import Baseline
from tiltmeter.domain.metric import Status
from tiltmeter.statistics.comparison import compare, weighted_psi
from tiltmeter.statistics.intervals import at_least_p_value, at_least_p_values, rise_p_value, rise_p_values
from tiltmeter.statistics.multiplicity import q_columns, q_values
from tiltmeter.statistics.series import ABSENT, IN_COLUMNS, measured_series, quiet_numbers, weighted_psi_series

FIELDS = (
    "psi", "psi_p_value", "psi_q_value", "psi_lower", "psi_noise_floor", "psi_bins", "kl", "js_distance", "ks",
    "ks_p_value", "chi2", "chi2_p_value", "chi2_df", "cramers_v", "test_q_value", "missing_change", "missing_p_value",
    "out_of_range", "out_of_range_p_value", "new_level_excess", "new_level_p_value",
)  # fmt: skip


def frame(rows, seed, *, shift=0.0, levels=300, missing=0.2):
    """Numbers with tails and gaps, constants, many levels, a date, text, an entity."""
    rng = np.random.default_rng(seed)
    gaps = np.where(rng.random(rows) < missing, np.nan, rng.normal(shift, 1, rows))
    moments = np.datetime64("2026-01-01") + rng.integers(0, 900, rows).astype("timedelta64[h]")
    return pa.table(
        {
            "normal": rng.normal(shift, 1, rows),
            "skewed": np.exp(rng.normal(shift, 2, rows)),
            "gaps": pa.array(gaps, from_pandas=True),
            "constant": np.full(rows, 3.0),
            "few": rng.integers(0, 6, rows),
            "colour": rng.choice(["red", "green", "blue", "rare"], rows, p=[0.6, 0.3, 0.095, 0.005]),
            "town": np.char.add("town ", rng.integers(0, levels, rows).astype(str)),
            "flag": rng.random(rows) < 0.2,
            "seen": moments.astype("datetime64[us]"),
            "words": np.char.add("free text number ", rng.integers(0, 10**9, rows).astype(str)),
            "lead": np.char.add("lead ", rng.integers(0, max(1, rows // 2), rows).astype(str)),
            "score": rng.random(rows),
        }
    )


def windows():
    """Quiet ones, few rows, shifts, all missing, everything new, values far outside, infinities, absent columns."""
    quiet = [frame(rows, seed) for seed, rows in enumerate((600, 40, 1, 199, 201, 3_000))]
    outside = frame(400, 21)
    far = outside["normal"].to_numpy().copy()
    far[:3] = (1e12, -1e300, np.inf)
    levels = frame(300, 22)
    return [
        *quiet,
        frame(500, 20, shift=2.0, levels=900),
        frame(300, 23, missing=1.0),
        outside.set_column(0, "normal", pa.array(far)),
        levels.set_column(6, "town", pa.array(["elsewhere"] * 300)).set_column(3, "constant", pa.array([4.0] * 300)),
        frame(300, 24).drop_columns(["few"]),
        frame(300, 25).set_column(1, "skewed", pa.array(["text"] * 300)),
    ]


@pytest.mark.parametrize("roles", [{}, {"score": "score"}, {"score": "score", "entity": "lead"}])
def test_columns_hold_what_each_window_alone_says(roles):
    baseline = Baseline.fit(frame(2_000, 99), **roles)
    profiles = [baseline.profile(table) for table in windows()]
    series = measured_series(baseline.reference, profiles, IN_COLUMNS)
    for place, profile in enumerate(profiles):
        alone = compare(baseline.reference, profile)
        every = dict(alone.features) | ({"score": alone.score} if alone.score else {})
        for name, feature in series.features.items():
            assert feature.statuses[place] is every[name].status
            for column in FIELDS:
                expected = getattr(every[name], column)
                if column in feature.columns:
                    assert feature.value(column, place) == expected, (place, name, column)
                    assert feature.listed(column)[place] == expected
                else:  # dates are left out: every window holds later ones
                    assert expected is None or (name == "seen" and column.startswith("out_of_range")), (name, column)


def test_a_profile_of_several_windows_with_rows_out_of_range_is_measured_too():
    baseline = Baseline.fit(frame(2_000, 99))
    far = baseline.profile(frame(900, 5, shift=6.0)) + baseline.profile(frame(900, 6))
    moved = replace(baseline.reference, profile=far)
    profiles = [baseline.profile(table) for table in windows()]
    series = measured_series(moved, profiles, IN_COLUMNS)
    found = [compare(moved, profile).features["normal"].ks for profile in profiles]
    assert series.features["normal"].listed("ks") == found


@pytest.mark.parametrize("shift", [-6.0, 6.0])
@pytest.mark.parametrize("column", ["ks", "out_of_range", "new_level_excess", "new_level_p_value"])
def test_a_reference_beyond_its_own_bins_is_measured_as_alone(shift, column):
    """A profile of some weeks as reference: rows on one side of the range alone, and levels that the bins lack."""
    baseline = Baseline.fit(frame(2_000, 99, levels=40))
    beyond = baseline.profile(frame(700, 5, shift=shift, levels=90)) + baseline.profile(frame(900, 6, levels=60))
    moved = replace(baseline.reference, profile=beyond)
    tables = [*windows(), frame(500, 31, shift=shift / 2), frame(500, 32, shift=-shift, levels=120)]
    profiles = [baseline.profile(table) for table in tables]
    series = measured_series(moved, profiles, IN_COLUMNS)
    for place, profile in enumerate(profiles):
        for name, alone in compare(moved, profile).features.items():
            if name in series.features and column in series.features[name].columns:
                assert series.features[name].value(column, place) == getattr(alone, column), (place, name)


def test_counts_beyond_what_doubles_hold_are_measured_as_alone():
    baseline = Baseline.fit(frame(2_000, 99))
    many = baseline.profile(frame(900, 3, shift=0.1))
    for _ in range(18):  # 2.4e8 rows against 5e8: their product is far beyond 2^53
        many = many + many
    reference = baseline.reference
    vast = reference.profile
    for _ in range(18):
        vast = vast + vast
    moved = replace(reference, profile=vast)
    series = measured_series(moved, [many], ["ks", "psi"])
    for name, alone in compare(moved, many).features.items():
        assert series.features[name].value("ks", 0) == alone.ks
        assert series.features[name].value("psi", 0) == alone.psi


def test_a_column_that_the_reference_lacks_is_new_and_has_no_number():
    baseline = Baseline.fit(frame(2_000, 99))
    lacking = {name: one for name, one in baseline.reference.profile.features.items() if name != "few"}
    moved = replace(baseline.reference, profile=replace(baseline.reference.profile, features=lacking))
    few = measured_series(moved, [baseline.profile(frame(300, 1))], IN_COLUMNS).features["few"]
    assert few.bins.name == "few"
    assert (few.statuses, few.rows, few.missing) == ([Status.NEW_COLUMN], [0], [0])
    assert few.listed("psi") == [None]
    assert few.value("psi", 0) is None


def test_a_reference_of_one_row_is_measured_as_alone():
    baseline = Baseline.fit(frame(2_000, 99), entity="lead")
    moved = replace(baseline.reference, profile=baseline.profile(frame(1, 3)))
    profile = baseline.profile(frame(400, 4))
    series = measured_series(moved, [profile], IN_COLUMNS)
    assert series.m == 1
    assert "lead" not in series.features
    for name, alone in compare(moved, profile).features.items():
        for column in set(FIELDS) & series.features[name].columns.keys():
            assert series.features[name].value(column, 0) == getattr(alone, column), (name, column)


def test_quiet_features_keep_their_rows_and_their_drift():
    baseline = Baseline.fit(frame(2_000, 99), score="score")
    profiles = [baseline.profile(table) for table in windows()]
    series = measured_series(baseline.reference, profiles, IN_COLUMNS)
    for place, profile in enumerate(profiles):
        alone = compare(baseline.reference, profile)
        quiet = quiet_numbers(series, place, {"normal", "score"})
        assert quiet.keys() == alone.features.keys() - {"normal"}
        for name, numbers in quiet.items():
            found, expected = numbers.completed(), alone.features[name]
            assert (found.name, found.kind, found.status) == (name, expected.kind, expected.status)
            assert (found.psi, found.psi_p_value) == (expected.psi, expected.psi_p_value)
            if expected.status not in ABSENT:
                assert (found.ks_p_value, found.chi2_p_value) == (expected.ks_p_value, expected.chi2_p_value)
                sides = found.current, expected.current
                assert len({(side.count, side.missing, side.missing_share) for side in sides}) == 1


def test_the_score_is_left_out_of_the_weighted_psi_wherever_it_stands():
    table = frame(2_000, 99)
    first = ["score", *(name for name in table.schema.names if name != "score")]
    baseline = Baseline.fit(table.select(first), score="score")
    profile = baseline.profile(frame(600, 1, shift=1.0).select(first))
    series = measured_series(baseline.reference, [profile], ["psi"])
    alone = compare(baseline.reference, profile)
    assert weighted_psi_series(series, {}, "score").tolist() == [weighted_psi(alone.features, {})]


def test_the_weighted_psi_is_that_of_each_window():
    baseline, weights = Baseline.fit(frame(2_000, 99), score="score"), {"normal": 5.0, "colour": 0.0}
    profiles = [baseline.profile(table) for table in windows()]
    series = measured_series(baseline.reference, profiles, ["psi"])
    found = weighted_psi_series(series, weights, "score")
    assert found.tolist() == [weighted_psi(compare(baseline.reference, one).features, weights) for one in profiles]


def test_a_feature_that_is_gone_has_its_status_and_no_number():
    baseline = Baseline.fit(frame(2_000, 99))
    gone = baseline.profile(frame(300, 24).drop_columns(["few"]))
    series = measured_series(baseline.reference, [gone, baseline.profile(frame(300, 25))], IN_COLUMNS)
    few = series.features["few"]
    assert few.statuses == [Status.MISSING_COLUMN, Status.OK]
    assert few.listed("psi")[0] is None
    assert few.listed("psi")[1] is not None


def test_p_values_of_many_windows_are_those_of_each():
    rng = np.random.default_rng(3)
    trials = np.array([0, 1, 5, 200, 1_000, 1_000])
    after = np.array([0, 1, 0, 13, 999, 1_000])
    for before, of in ((0, 0), (0, 50), (50, 50), (7, 900)):
        found = rise_p_values(before, of, after, trials)
        expected = [rise_p_value(before, of, float(a), float(n)) for a, n in zip(after, trials, strict=True)]
        assert [None if np.isnan(p) else p for p in found] == expected
    successes, trials = rng.integers(-1, 12, 200), rng.integers(0, 10, 200)
    for share in (-0.5, 0.0, 0.013, 1.0, 3.0):
        found = at_least_p_values(successes, trials, share).tolist()
        pairs = zip(successes.tolist(), trials.tolist(), strict=True)
        assert found == [at_least_p_value(seen, of, share) for seen, of in pairs]


def test_q_values_of_many_families_are_those_of_each():
    rng = np.random.default_rng(4)
    p_values = rng.random((30, 12)) ** 6
    p_values[rng.random(p_values.shape) < 0.3] = np.nan
    p_values[:, 3], p_values[5:, 4] = np.nan, p_values[2, 4]
    found = q_columns(p_values)
    for family in range(12):
        named = {str(i): None if np.isnan(p) else float(p) for i, p in enumerate(p_values[:, family])}
        alone = q_values(named)
        mine = {str(i): float(q) for i, q in enumerate(found[:, family]) if not np.isnan(q)}
        assert mine == alone


def test_leads_are_measured_alike_at_the_size_of_a_day():
    baseline = Baseline.fit(leads(4_000, seed=1), score="score", label="bought")
    profiles = [baseline.profile(leads(rows, seed=rows)) for rows in (150, 600, 5_000)]
    series = measured_series(baseline.reference, profiles, IN_COLUMNS)
    for place, profile in enumerate(profiles):
        for name, feature in compare(baseline.reference, profile).features.items():
            assert series.features[name].value("psi", place) == feature.psi
