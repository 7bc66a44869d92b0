"""Spans of time that a page may show beside the usual ones, and from which age on its numbers count as old."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise, takewhile

import streamlit as st
from cronsim import CronSim, CronSimError

CUSTOM = "custom"
"""Word of the selector under which any days may be chosen."""

_FROM, _TO = "from", "to"
_A_DAY = timedelta(days=1)
_USUAL = timedelta(days=7)
_LONGEST = timedelta(days=400)
"""As long as rows are kept unless the configuration says otherwise."""

_KEPT = "kept-range"
_SLACK = timedelta(hours=1)
"""What judging a window may take before its numbers count as late."""


def is_named() -> bool:
    """Whether the address names a span of its own."""
    return _FROM in st.query_params or _TO in st.query_params


def forget() -> None:
    """Another span was chosen: the address names none."""
    for name in (_FROM, _TO):
        if name in st.query_params:
            del st.query_params[name]


def span_of(first: str, last: str, newest: datetime) -> tuple[datetime, datetime] | None:
    """The span that two words of an address name, within the newest data; None where they name none.

    Args:
        first: ISO 8601 date or moment (UTC unless it says otherwise); empty for a week before the end.
        last: the same; a date means all of that day; empty for the newest data.
        newest: end of the newest data, aware UTC.
    """
    try:
        end = min(_moment(last, is_end=True) if last else newest, newest)
        start = _moment(first) if first else end - _USUAL
    except (ValueError, OverflowError):
        return None
    return (max(start, newest - _LONGEST), end) if newest - _LONGEST < end and start < end else None


def custom_span(newest: datetime) -> tuple[datetime, datetime, str]:
    """Days to choose, kept in the address as `from` and `to`.

    Args:
        newest: end of the newest data, aware UTC.

    Returns:
        Start, end, and what the address named and is no span; empty where all is well.
    """
    kept: tuple[str, str] = st.session_state.get(_KEPT, ("", ""))
    words = (st.query_params.get(_FROM, ""), st.query_params.get(_TO, "")) if is_named() else kept
    named = span_of(words[0], words[1], newest)
    span = named or (newest - _USUAL, newest)
    days = _days(span)
    chosen = st.date_input(
        "Days (UTC)", days, min_value=(newest - _LONGEST).date(), max_value=newest.date(), key="custom-days", width=240
    )
    if isinstance(chosen, tuple) and len(chosen) == 2 and chosen != days:
        words, named = (chosen[0].isoformat(), chosen[1].isoformat()), None
        span = span_of(words[0], words[1], newest) or span
    elif named is None:
        words = (days[0].isoformat(), days[1].isoformat())
    st.session_state[_KEPT] = words
    unknown = "" if named or not is_named() else " to ".join(st.query_params.get(n, "") for n in (_FROM, _TO))
    for name, word in zip((_FROM, _TO), words, strict=True):
        if word and st.query_params.get(name) != word:
            st.query_params[name] = word
    return *span, unknown


def _days(span: tuple[datetime, datetime]) -> tuple[date, date]:
    return span[0].date(), (span[1] - timedelta(microseconds=1)).date()


def _moment(word: str, *, is_end: bool = False) -> datetime:
    if len(word) == len("2026-11-01"):
        return datetime.combine(date.fromisoformat(word) + is_end * _A_DAY, time(), UTC)
    found = datetime.fromisoformat(word)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


@lru_cache(maxsize=16)
def old_after(schedule: str) -> timedelta:
    """Age from which the newest hour counts as old: twice the longest pause of the schedule, and an hour for the work.

    Args:
        schedule: cron expression of the hourly windows.
    """
    start = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday; a week holds every pause of a schedule by hour
    try:
        moments = takewhile(lambda moment: moment < start + timedelta(days=8), CronSim(schedule, start))
        longest = max((after - before for before, after in pairwise(moments)), default=_A_DAY)
    except CronSimError:
        longest = timedelta(hours=1)
    return 2 * longest + _SLACK
