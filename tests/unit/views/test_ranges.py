"""Days that stand in the address, and the age from which numbers count as old."""

from datetime import UTC, datetime, timedelta

import pytest

from page_reading import charts, words
from small_home import END
from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.ranges import old_after, span_of

NEWEST = datetime(2026, 3, 9, 14, tzinfo=UTC)


def day(number, hour=0):
    return datetime(2026, 3, number, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        ("2026-03-01", "2026-03-03", (day(1), day(4))),  # the last day is meant whole
        ("2026-03-03", "2026-03-03", (day(3), day(4))),
        ("2026-03-01T06:00", "2026-03-01T08:00", (day(1, 6), day(1, 8))),
        ("2026-03-01T06:00+02:00", "2026-03-01T08:00+02:00", (day(1, 4), day(1, 6))),
        ("2026-03-08", "2026-03-09", (day(8), NEWEST)),  # no further than the data
        ("2026-03-08", "2030-01-01", (day(8), NEWEST)),
        ("", "2026-03-08", (day(2), day(9))),
        ("2026-03-08", "", (day(8), NEWEST)),
        ("0001-01-01", "2026-03-09", (NEWEST - timedelta(days=400), NEWEST)),
        ("2026-03-05", "2026-03-01", None),
        ("2030-01-01", "2030-01-02", None),
        ("0001-01-01", "0001-01-02", None),
        ("yesterday", "<script>", None),
        ("2026-13-01", "9999-12-31", None),
    ],
)
def test_two_words_of_an_address_name_a_span(first, last, span):
    assert span_of(first, last, NEWEST) == span


@pytest.mark.parametrize(
    ("schedule", "hours"), [("5 * * * *", 3), ("0 */6 * * *", 13), ("5 8-18 * * *", 29), ("not a schedule", 3)]
)
def test_numbers_are_old_after_twice_their_schedule(schedule, hours):
    assert old_after(schedule) == timedelta(hours=hours)


@pytest.mark.slow
def test_a_link_with_days_shows_these_days(page, small):
    shown = page("overview", small, **{"from": "2026-03-05", "to": "2026-03-06"})
    assert shown.query_params["span"] == "custom"
    assert [choice.value for choice in shown.selectbox if choice.label == "Time"] == ["custom"]
    days = {row["day"] for _, tables in charts(shown) for table in tables for row in table if "psi" in row}
    assert days == {"2026-03-05", "2026-03-06"}
    shown.selectbox(key="choose-span").select("7 d").run()
    assert "from" not in shown.query_params


@pytest.mark.slow
@pytest.mark.parametrize("name", ["feature", "service", "outcomes", "incidents"])
def test_days_are_shown_on_every_page_with_a_span(page, small, name):
    shown = page(name, small, **{"from": "2026-03-05", "to": f"{END - timedelta(days=1):%Y-%m-%d}"})
    assert shown.query_params["from"] == "2026-03-05"


@pytest.mark.slow
def test_days_that_make_no_sense_are_said(page, small):
    shown = page("overview", small, **{"from": "<script>", "to": "2026-03-06"})
    assert f"not here: {plain('<script> to 2026-03-06')}" in words(shown)
