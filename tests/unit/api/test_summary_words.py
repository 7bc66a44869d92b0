"""Numbers and answers as a person reads them."""

import numpy as np
import pyarrow as pa
import pytest

import tiltmeter
from lead_frames import leads
from tiltmeter.api.summary import effect, number, p_value, percent, value_text
from tiltmeter.domain.feature import FeatureKind


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "< 1e-300"), (1e-310, "< 1e-300"), (4.1e-78, "4.1e-78"), (0.0042, "4.2e-3"), (0.25, "0.25"), (None, "–")],
)
def test_p_values_never_read_zero(value, text):
    assert p_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0001, "1e-4"), (0.1234, "0.123"), (19.031, "19.03"), (None, "–")]
)
def test_statistics_have_three_digits_and_never_round_to_zero(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.0 %"), (0.00012, "0.012 %"), (0.314, "31.4 %"), (None, "–")])
def test_shares_are_in_percent(share, text):
    assert percent(share) == text


def test_times_are_written_as_times_and_beyond_the_calendar_as_numbers():
    assert value_text(0.0, FeatureKind.DATETIME) == "1970-01-01 00:00"
    assert value_text(1e18, FeatureKind.DATETIME) == "1e+18"


def test_a_quiet_comparison_says_what_would_have_been_seen():
    quiet = tiltmeter.compare(leads(seed=1), leads(seed=2))
    assert quiet.sentence.startswith("None of 6 features moved; a PSI of ")
    assert quiet.sentence.endswith("would have been seen")


def test_too_few_rows_are_said_to_be_too_few():
    few = tiltmeter.compare(leads(seed=1), leads(84, seed=2, age=90.0))
    assert few.sentence.startswith("Not judged: 84 rows")


def test_no_rows_are_said_to_be_none():
    assert tiltmeter.compare(leads(seed=1), leads(seed=2).slice(0, 0)).sentence == "The current side has no rows"


def test_what_changed_names_dates_as_dates():
    before, after = (
        pa.table({"at": pa.array(np.arange(500) * 3_600 + start, pa.timestamp("s"))}) for start in (0, 900_000_000)
    )
    found = tiltmeter.compare(before, after)["at"]
    assert effect(found).startswith("median 1970-01-11 09:00 → 1998-07-")
    assert effect(found).endswith(", no overlap")


def test_dates_that_grow_older_are_shown_and_not_judged_as_out_of_range():
    before = pa.table({"at": pa.array(np.arange(1_000) * 3_600, pa.timestamp("s"))})
    later = pa.table({"at": pa.array((np.arange(1_000) + 20) * 3_600, pa.timestamp("s"))})
    found = tiltmeter.compare(before, later)["at"]
    assert found.out_of_range == pytest.approx(0.02)
    assert found.out_of_range_p_value < 0.001
    assert found.severity.word == "none"


def test_values_out_of_range_are_said_to_be():
    before = pa.table({"pdays": [999] * 1_000, "age": [*range(20, 60)] * 25})
    after = pa.table({"pdays": [999] * 900 + [3] * 100, "age": [*range(20, 60)] * 24 + [95] * 40})
    found = tiltmeter.compare(before, after)
    assert effect(found["pdays"]) == "10 % other than 999"
    assert effect(found["age"]) == "spread 1.4 times larger, 4 % outside 20 – 59"


def test_missing_values_where_there_were_none_are_said_to_be_new():
    before = pa.table({"x": np.arange(1_000.0)})
    after = pa.table({"x": pa.array([*np.arange(970.0), *[None] * 30])})
    found = tiltmeter.compare(before, after)["x"]
    assert effect(found) == "3 points more missing (now 3 %, none before)"


def test_where_nothing_but_the_mean_moved_the_mean_is_said():
    before, after = pa.table({"x": [0] * 600 + [2] * 400}), pa.table({"x": [0] * 800 + [2] * 200})
    assert effect(tiltmeter.compare(before, after)["x"]) == "mean 0.8 → 0.4"
