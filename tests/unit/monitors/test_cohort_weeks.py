"""Weeks of scoring: they share no lead, keep their places, and go on to those that are not mature yet."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.cohort_weeks import MOST_WEEKS, cohort_weeks
from tiltmeter.monitors.deciles import PRECISION_AT_K, RECALL_AT_K

DAY, WEEK = timedelta(days=1), timedelta(days=7)
END = datetime(2026, 3, 9, tzinfo=UTC)
LONG_AGO = END - 400 * DAY


def judged(end, value=0.3, name=PRECISION_AT_K):
    return Metric(name, Subject("m"), Window(end - WEEK, end, Grain.DAY), value, n_current=10)


def test_of_a_cohort_that_ends_every_day_each_week_is_taken_once():
    metrics = [judged(END - n * DAY, value=n / 100) for n in range(21)]
    metrics += [judged(END - n * DAY, value=n / 50, name=RECALL_AT_K) for n in range(21)]
    weeks = cohort_weeks(metrics, since=LONG_AGO, until=END)
    assert [(week.end, week.precision.value, week.recall.value) for week in weeks] == [
        (END - 2 * WEEK, 0.14, 0.28), (END - WEEK, 0.07, 0.14), (END, 0.0, 0.0),
    ]  # fmt: skip
    assert all(later.start == earlier.end for earlier, later in pairwise(weeks))


def test_weeks_that_are_not_mature_follow_up_to_now():
    weeks = cohort_weeks([judged(END)], since=LONG_AGO, until=END + 2 * WEEK + DAY)
    assert [week.is_mature for week in weeks] == [True, False, False, False]
    assert [week.start for week in weeks] == [END - WEEK, END, END + WEEK, END + 2 * WEEK]
    assert all(week.precision is None for week in weeks[1:])


def test_a_week_that_was_not_judged_keeps_its_place():
    weeks = cohort_weeks([judged(END), judged(END - 2 * WEEK)], since=LONG_AGO, until=END)
    assert [week.precision is not None for week in weeks] == [True, False, True]


def test_a_week_is_found_across_a_clock_change():
    berlin = ZoneInfo("Europe/Berlin")
    ends = [datetime(2026, 3, day, tzinfo=berlin).astimezone(UTC) for day in (18, 25)]
    ends.append(datetime(2026, 4, 1, tzinfo=berlin).astimezone(UTC))
    assert ends[2] - ends[1] == WEEK - timedelta(hours=1)
    weeks = cohort_weeks([judged(end) for end in ends], since=LONG_AGO, until=ends[-1])
    assert [week.precision.window.end for week in weeks] == ends


def test_as_many_weeks_as_fit_and_none_before_what_is_asked():
    metrics = [judged(END - n * WEEK) for n in range(30)]
    assert len(cohort_weeks(metrics, since=LONG_AGO, until=END)) == MOST_WEEKS
    assert len(cohort_weeks(metrics, since=END - 2 * WEEK, until=END)) == 2
    assert cohort_weeks([], since=LONG_AGO, until=END) == []
    assert cohort_weeks([judged(END, name="outcomes.recall")], since=LONG_AGO, until=END) == []
