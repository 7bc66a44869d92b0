"""What the pages claim of a span that is over, and of data that are old: what was so then, and no health of now."""

import html
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import small_home
from page_reading import charts, first_line, words
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.alert import IncidentState
from tiltmeter.domain.severity import Severity
from tiltmeter.testing.samples import sample_incident
from tiltmeter.wiring import build_world

pytestmark = pytest.mark.slow  # builds a home

SAID = "The planted incident"
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
PAST = {"from": f"{MIDNIGHT - timedelta(days=4):%Y-%m-%d}", "to": f"{MIDNIGHT - timedelta(days=3):%Y-%m-%d}"}
THEN = MIDNIGHT - timedelta(days=2)
"""End of that span."""


def planted(folder, end, *incidents):
    """A home whose only incidents are these."""
    path = small_home.build(folder / "home", end=end, rules=QUIET, level="web")
    world = build_world(load_settings(path, environ={}), clock=FakeClock(end), with_channels=False)
    for found in world.state.incidents(open_only=True):
        over = replace(found, resolved_at=found.opened_at, state=IncidentState.RESOLVED, severity=Severity.NONE)
        world.state.save_incident(over, [])
    for incident in incidents:
        world.state.save_incident(incident, [])
    world.state.close()
    return path


QUIET = (
    "\nrules: [{id: error_rate, metric: serving.error_rate, every: 10s, over: 5m, levels: {critical: {above: 2}}}]\n"
)


def incident(opened, resolved=None):
    found = sample_incident("inc_then", opened_at=opened, title=SAID, severity=Severity.CRITICAL)
    found = replace(found, peak=Severity.CRITICAL)
    if resolved is None:
        return found
    return replace(found, resolved_at=resolved, state=IncidentState.RESOLVED, severity=Severity.NONE)


def test_what_was_open_as_the_span_ended_is_its_verdict(page, tmp_path):
    path = planted(tmp_path, MIDNIGHT, incident(THEN - timedelta(days=1), THEN + timedelta(hours=9)))
    said = html.unescape(words(page("overview", path, **PAST)))
    assert "■ **critical**" in said
    assert f"resolved since, {THEN + timedelta(hours=9):%a %d %b %H:%M} UTC" in said
    assert "Healthy" not in said
    assert f"1 open at {THEN:%a %d %b %H:%M} UTC" in words(page("incidents", path, **PAST))
    assert ", resolved since" in words(page("incidents", path, **PAST))
    bars = [row for _, tables in charts(page("incidents", path, **PAST)) for rows in tables for row in rows]
    assert max(bar["until"] for bar in bars if "until" in bar) <= THEN
    assert SAID not in first_line(page("overview", path))  # it is over


def test_what_opened_later_is_none_of_a_span_before_it(page, tmp_path):
    path = planted(tmp_path, MIDNIGHT, incident(MIDNIGHT - timedelta(hours=2)))
    said = words(page("incidents", path, **PAST))
    assert f"Nothing was open at {THEN:%a %d %b %H:%M} UTC" in said
    assert "0 in this span" in said
    assert "Healthy then" in first_line(page("overview", path, **PAST))
    assert "1 open" in first_line(page("incidents", path))


def test_old_data_are_no_health(page, tmp_path):
    path = planted(tmp_path, MIDNIGHT - timedelta(days=3))
    shown = page("overview", path)
    assert "No verdict: data are old" in first_line(shown)
    assert "tiltmeter doctor" in first_line(shown)
    health = next(m for m in shown.metric if m.label == "Health")
    assert (health.value, health.delta) == ("–", "○ data are old")
    assert "nothing was judged since" in first_line(page("incidents", path))
