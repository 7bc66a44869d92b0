"""Numbers and answers as a person reads them."""

import pytest

import tiltmeter
from lead_frames import leads
from tiltmeter.api.summary import number, p_value, percent, value_text
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
