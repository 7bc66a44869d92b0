"""A clock that jumps is told to people once; one that is corrected slowly is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tiltmeter.service.clock_watch import ClockWatch
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import HOUR, SteppedClock


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def store(clock, tmp_path):
    made = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(("jump", "words"), [(-HOUR, "1 h back"), (24 * HOUR, "1 d forward, or the machine slept")])
def test_37_a_jump_is_told_once_to_every_channel(store, clock, jump, words):
    watch = ClockWatch(store, clock, ["slack", "mail"])
    assert watch.look() is None
    clock.advance(HOUR)
    assert watch.look() is None, "time that passes on both clocks is no jump"
    clock.moment += jump
    assert watch.look() == jump
    assert watch.look() is None
    assert [d.message.channel for d in store.deliveries()] == ["mail", "slack"]
    assert all(words in d.message.content.title for d in store.deliveries())


def test_slow_corrections_are_no_jump(store, clock):
    watch = ClockWatch(store, clock, ["slack"])
    for _ in range(100):
        clock.advance(timedelta(seconds=1))
        clock.moment += timedelta(seconds=20)
        assert watch.look() is None
    assert store.deliveries() == []
