"""A day or moment as a person writes it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tiltmeter.api.history import moment_of
from tiltmeter.domain.errors import UsageError


def test_a_moment_without_an_offset_is_local_time():
    assert moment_of("2026-10-01", ZoneInfo("Europe/Berlin")) == datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert moment_of("2026-10-01T08:00-05:00", ZoneInfo("Europe/Berlin")) == datetime(2026, 10, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("0001-01-01", "Europe/Berlin"),
        ("9999-12-31T23:00", "America/New_York"),
        ("0001-01-01T00:00+00:01", "UTC"),
        ("9999-12-31T23:59:59-00:01", "UTC"),
    ],
)
def test_a_moment_beyond_the_calendar_is_one_clear_line(text, zone):
    with pytest.raises(UsageError, match=f'"{text.replace("+", "[+]")}" lies outside the years 1 to 9999') as caught:
        moment_of(text, ZoneInfo(zone))
    assert "\n" not in str(caught.value)
    for end in ("0001-01-01", "9999-12-31T23:00"):
        assert moment_of(end, ZoneInfo("UTC")).tzinfo is UTC
