"""Silences that people ask for: with a reason and an end, exact labels, no wildcards."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tiltmeter.config.rules import load_rules
from tiltmeter.domain.errors import UsageError
from tiltmeter.ports import World
from tiltmeter.service.people import end_silence, start_silence
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import HOUR, SteppedClock


@pytest.fixture
def world(tmp_path):
    clock = SteppedClock()
    state = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    yield World(
        clock=clock, zone=ZoneInfo("UTC"), engine=None, log=None, states=None, baselines=None, state=state, models={},
        rules=load_rules(None),
    )  # fmt: skip
    state.close()


@pytest.mark.parametrize(
    ("matchers", "length", "reason", "words"),
    [
        ({}, HOUR, "backfill", "at least one label=value"),
        ({"feature": "plan"}, HOUR, "  ", "a reason"),
        ({"feature": "plan"}, timedelta(0), "backfill", "within 30 days"),
        ({"feature": "plan"}, -HOUR, "backfill", "within 30 days"),
        ({"feature": "plan"}, timedelta(days=31), "backfill", "within 30 days"),
    ],
)
def test_31_a_silence_needs_labels_a_reason_and_an_end_within_30_days(world, matchers, length, reason, words):
    with pytest.raises(UsageError, match=words):
        start_silence(world, matchers, until=world.clock.now() + length, by="Anna", reason=reason)
    assert world.state.silences(world.clock.now()) == []


def test_31_a_wildcard_is_a_word_like_any_other(world):
    made = start_silence(world, {"feature": ".*"}, until=world.clock.now() + HOUR, by="Anna", reason="x")
    assert dict(made.matchers) == {"feature": ".*"}


def test_a_silence_ends_by_itself_and_by_hand(world):
    made = start_silence(world, {"rule": "psi"}, until=world.clock.now() + HOUR, by="Anna", reason="x")
    assert end_silence(world, made.id, by="Ben")
    assert not end_silence(world, made.id, by="Ben")
    start_silence(world, {"rule": "psi"}, until=world.clock.now() + HOUR, by="Anna", reason="x")
    world.clock.advance(HOUR)
    assert world.state.silences(world.clock.now()) == []
