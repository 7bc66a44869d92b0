from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tiltmeter.channels import build_channel
from tiltmeter.domain.errors import StoreError
from tiltmeter.service.heartbeat import CHANNEL, Heartbeat, HeartbeatChannel, synthetic_messages
from tiltmeter.service.sender import Sender
from tiltmeter.service.watchdog import COMPONENT, Pulse, Watchdog
from tiltmeter.state.sql import SqlStateStore, heartbeat_reader
from tiltmeter.testing.receivers import Fault, HttpReceiver, PagerDutyReceiver, Reply
from tiltmeter.testing.samples import T0, SteppedClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def pager():
    with PagerDutyReceiver() as receiver:
        yield receiver


def pager_channel(receiver, clock):
    settings = {"kind": "pagerduty", "routing_key": "W" * 32, "api_url": receiver.url}
    return build_channel("watchdog", settings, clock=clock)


def test_the_synthetic_alert_goes_through_rules_outbox_and_sender(tmp_path, clock):
    store = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    beat = heartbeat_reader("sqlite:state.db", COMPONENT, home=tmp_path)
    heart = Heartbeat(store, clock)
    sender = Sender(store, {CHANNEL: HeartbeatChannel(store)}, clock)
    assert beat() is None
    for minute in range(3):
        assert heart.tick()
        assert not heart.tick()
        assert beat() == (T0 + (minute - 1) * MINUTE if minute else None), "the beat came before the message went out"
        sender.drain_once()
        assert beat() == T0 + minute * MINUTE
        clock.advance(MINUTE)
    store.close()


def test_45_an_outbox_that_is_stuck_stops_the_beat_though_the_rules_go_on(clock, pager):
    store = SqlStateStore("sqlite:", clock)
    heart, sender = Heartbeat(store, clock), Sender(store, {CHANNEL: HeartbeatChannel(store)}, clock)
    dog = Watchdog(lambda: store.heartbeats().get(COMPONENT), clock, pager=pager_channel(pager, clock))
    heart.tick()
    sender.drain_once()
    assert dog.check().pulse is Pulse.FRESH
    for _ in range(6):
        clock.advance(MINUTE)
        assert heart.tick(), "the rules go on"
        dog.check()
    assert len(pager.pages) == 1, "nobody sends any more, and it is paged within six minutes"
    store.close()


def test_old_synthetic_messages_are_forgotten(clock):
    store = SqlStateStore("sqlite:", clock)
    heart, sender = Heartbeat(store, clock), Sender(store, {CHANNEL: HeartbeatChannel(store)}, clock)
    for _ in range(150):
        heart.tick()
        sender.drain_once()
        clock.advance(MINUTE)
    assert 55 <= len(store.deliveries()) <= 65
    store.close()


def test_every_minute_has_a_message_of_its_own():
    assert len(synthetic_messages(T0)) == 1
    assert synthetic_messages(T0)[0].delivery_id != synthetic_messages(T0 + MINUTE)[0].delivery_id


def test_a_service_that_falls_silent_pages_within_six_minutes_once_and_recovers(clock, pager):
    beats = [T0]
    dog = Watchdog(lambda: beats[-1], clock, pager=pager_channel(pager, clock))
    assert dog.check().pulse is Pulse.FRESH
    paged_at = None
    for _ in range(20):
        clock.advance(MINUTE)
        if dog.check().paged and paged_at is None:
            paged_at = clock.now()
    assert paged_at is not None
    assert paged_at - T0 <= 6 * MINUTE
    assert len(pager.pages) == 1
    assert "silent for 6 minutes" in pager.pages[0].events[0]["payload"]["summary"]
    beats.append(clock.now())
    assert dog.check().pulse is Pulse.FRESH
    assert pager.pages[0].state == "resolved"


def test_a_database_that_is_gone_pages_too(clock, pager):
    def unreadable():
        raise StoreError("the state database failed: unable to open")

    dog = Watchdog(unreadable, clock, pager=pager_channel(pager, clock))
    assert dog.check().pulse is Pulse.UNREADABLE
    clock.advance(6 * MINUTE)
    found = dog.check()
    assert found.paged
    assert "unable to open" in found.why


def test_a_beat_that_was_old_when_the_watchdog_started_is_old(clock, pager):
    dog = Watchdog(lambda: T0 - 60 * MINUTE, clock, pager=pager_channel(pager, clock))
    assert dog.check().paged


def test_a_clock_that_jumps_back_does_not_page(clock, pager):
    dog = Watchdog(clock.now, clock, pager=pager_channel(pager, clock))
    dog.check()
    clock.moment -= timedelta(hours=1)
    assert dog.check().pulse is Pulse.FRESH
    clock.moment += timedelta(days=1)
    assert dog.check().pulse is Pulse.FRESH
    assert pager.pages == []


def test_a_page_that_does_not_get_through_is_tried_at_the_next_look(clock, pager):
    pager.script(Fault(Reply(503)))
    dog = Watchdog(lambda: None, clock, pager=pager_channel(pager, clock))
    clock.advance(6 * MINUTE)
    assert "503" in dog.check().why
    assert pager.pages == []
    assert dog.check().paged
    assert len(pager.pages) == 1


def test_the_outside_is_pinged_only_while_the_beat_is_fresh(clock, pager):
    with HttpReceiver(lambda _: Reply(200)) as outside:
        dog = Watchdog(lambda: T0, clock, pager=pager_channel(pager, clock), ping=f"{outside.url}/ping")
        dog.check()
        assert len(outside.requests) == 1
        clock.advance(10 * MINUTE)
        dog.check()
        assert len(outside.requests) == 1


def test_the_watchdog_imports_nothing_of_what_it_watches():
    code = "import sys, tiltmeter.cli.watchdog; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    watched = {"engines", "pipeline", "wiring", "store", "ingest", "profiling", "alerting"}
    assert not imported & {f"tiltmeter.{part}" for part in watched}
    assert not imported & {"deltalake", "pyarrow", "numpy"}


@pytest.mark.slow
def test_the_command_pages_when_the_service_never_ran(tmp_path: Path, pager):
    (tmp_path / "tiltmeter.yaml").write_text(
        f"home: {tmp_path}/home\nstate: {{url: 'sqlite:state.db'}}\n"
        "heartbeat: {page_after: 1s, every: 1s, routing_key: 'env:WATCHDOG_KEY'}\n"
        f"channels: {{pager: {{kind: pagerduty, routing_key: 'env:WATCHDOG_KEY', api_url: '{pager.url}'}}}}\n"
    )
    command = [sys.executable, "-c", "from tiltmeter.cli.app import main; main()", "watchdog"]
    import os

    process = subprocess.Popen(
        [*command, "--config", str(tmp_path / "tiltmeter.yaml")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "WATCHDOG_KEY": "W" * 32},
    )  # fmt: skip
    try:
        lines = [process.stdout.readline() for _ in range(4)]
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert any("unreadable" in line and "paged" in line for line in lines), (lines, errors)
    assert len(pager.pages) == 1
    assert process.returncode == 0
