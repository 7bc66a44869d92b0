"""The sender's rules, with a clock that is moved by hand and channels that answer as told."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event, Thread

import pytest

from tiltmeter.domain.alert import IncidentState
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import DeliveryStatus, MessageKind, Receipt
from tiltmeter.domain.severity import Severity
from tiltmeter.service.pace import PACES, TokenBucket
from tiltmeter.service.sender import Sender, SenderPolicy
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import HOUR, T0, SteppedClock, sample_incident, sample_message, sample_run
from waiting import until

SECOND = timedelta(seconds=1)
REFUSED = DeliveryError("Slack refused the message (channel_not_found)", retryable=False)
GONE = DeliveryError("no connection")


class RealClock:
    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return time.monotonic()


class ScriptedChannel:
    """Answers with what was put in, else with success."""

    def __init__(self, name: str, kind: str = "slack", *answers: object, fallback: str = "") -> None:
        self.name = name
        self.kind = kind
        self.fallback = fallback
        self.answers = deque(answers)
        self.sent = []

    def send(self, message):
        answer = self.answers.popleft() if self.answers else Receipt(thread={"ts": "1"})
        if callable(answer):
            answer()
            answer = Receipt(thread={"ts": "1"})
        if isinstance(answer, BaseException):
            raise answer
        self.sent.append(message)
        return answer


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def store(clock):
    store = SqlStateStore("sqlite:", clock)
    yield store
    store.close()


def sender(store, clock, *channels, **more):
    return Sender(store, {c.name: c for c in channels}, clock, rng=Random(1), **{"paced": False} | more)


def statuses(store, channel):
    return [d.status for d in store.deliveries() if d.message.channel == channel]


def test_an_hour_of_failures_waits_longer_and_longer_but_never_over_five_minutes(store, clock):
    channel = ScriptedChannel("slack", "slack", *[GONE] * 200)
    delivering = sender(store, clock, channel)
    store.enqueue([sample_message()])
    pauses = []
    for _ in range(40):
        assert delivering.drain_once() == 1
        due = store.deliveries()[0].due_at
        pauses.append((due - clock.now()).total_seconds())
        clock.advance(due - clock.now())
    assert pauses[0] <= 2
    assert max(pauses) <= 300
    assert 100 < sum(pauses[12:]) / len(pauses[12:]) < 200, "full jitter halves the limit of 300 s on average"


def test_an_unknown_outcome_waits_five_seconds_and_looks_first(store, clock):
    channel = ScriptedChannel("slack", "slack", DeliveryError("cut", unknown=True))
    delivering = sender(store, clock, channel)
    store.enqueue([sample_message()])
    delivering.drain_once()
    assert store.deliveries()[0].due_at - clock.now() >= 5 * SECOND
    clock.advance(HOUR)
    delivering.drain_once()
    assert channel.sent[0].reconcile


def test_retry_after_pauses_the_whole_channel_and_no_other(store, clock):
    slack = ScriptedChannel("slack", "slack", DeliveryError("429", retry_after=600))
    mail = ScriptedChannel("mail", "smtp")
    delivering = sender(store, clock, slack, mail)
    store.enqueue([sample_message(incident=f"inc_{n}", channel=c) for n in range(2) for c in ("slack", "mail")])
    delivering.drain_once()
    assert (len(slack.sent), len(mail.sent)) == (0, 2)
    clock.advance(599 * SECOND)
    delivering.drain_once()
    assert slack.sent == []
    clock.advance(SECOND)
    delivering.drain_once()
    assert len(slack.sent) == 2


def test_the_pause_outlives_a_restart(store, clock):
    store.enqueue([sample_message(), sample_message(incident="inc_b")])
    sender(store, clock, ScriptedChannel("slack", "slack", DeliveryError("429", retry_after=600))).drain_once()
    restarted = ScriptedChannel("slack")
    sender(store, clock, restarted).drain_once()
    assert restarted.sent == []


def test_an_alarm_that_recovers_while_the_channel_pauses_is_told_once(store, clock):
    channel = ScriptedChannel("slack", "slack")
    store.pause_channel("slack", T0 + HOUR, "429")
    store.enqueue([sample_message()])
    store.enqueue([sample_message(MessageKind.RESOLVED, sequence=2)])
    clock.advance(HOUR)
    sender(store, clock, channel).drain_once()
    assert [m.kind for m in channel.sent] == [MessageKind.RESOLVED]
    assert channel.sent[0].content.effect.startswith("Fired and recovered")


def test_a_refused_message_goes_to_the_fallback_and_everybody_is_told_once(store, clock):
    slack = ScriptedChannel("slack", "slack", REFUSED, REFUSED)
    mail, pager = ScriptedChannel("mail", "smtp"), ScriptedChannel("pager", "pagerduty")
    store.enqueue([sample_message(), sample_message(incident="inc_b")])
    sender(store, clock, slack, mail, pager).drain_once()
    assert statuses(store, "slack") == [DeliveryStatus.DEAD] * 2
    assert sorted(m.kind for m in mail.sent) == [MessageKind.FIRED, MessageKind.FIRED, MessageKind.META]
    assert [m.kind for m in pager.sent] == [MessageKind.META]
    assert "channel_not_found" in pager.sent[0].content.effect
    assert all("Sent here because slack" in m.content.effect for m in mail.sent if m.kind is MessageKind.FIRED)


def test_a_channel_that_works_again_is_announced_once(store, clock):
    slack, mail = ScriptedChannel("slack", "slack", REFUSED), ScriptedChannel("mail", "smtp")
    delivering = sender(store, clock, slack, mail)
    store.enqueue([sample_message()])
    delivering.drain_once()
    store.enqueue([sample_message(incident="inc_b"), sample_message(incident="inc_c")])
    delivering.drain_once()
    titles = [m.content.title for m in mail.sent if m.kind is MessageKind.META]
    assert titles == ["slack refuses messages", "slack delivers again"]


def test_failed_paging_goes_to_mail_and_slack_unless_they_know_already(store, clock):
    pager = ScriptedChannel("pager", "pagerduty", REFUSED)
    mail, slack = ScriptedChannel("mail", "smtp"), ScriptedChannel("slack")
    store.enqueue([sample_message(channel="pager"), sample_message(channel="mail")])
    sender(store, clock, pager, mail, slack).drain_once()
    assert [m.kind for m in mail.sent].count(MessageKind.FIRED) == 1
    assert [m.kind for m in slack.sent].count(MessageKind.FIRED) == 1
    assert any(m.content.title.startswith("paging failed") for m in slack.sent)


def test_a_configured_fallback_wins(store, clock):
    pager = ScriptedChannel("pager", "pagerduty", REFUSED, fallback="other")
    mail, other = ScriptedChannel("mail", "smtp"), ScriptedChannel("other", "webhook")
    store.enqueue([sample_message(channel="pager")])
    sender(store, clock, pager, mail, other).drain_once()
    assert MessageKind.FIRED in [m.kind for m in other.sent]
    assert MessageKind.FIRED not in [m.kind for m in mail.sent]


def test_channels_that_all_refuse_do_not_write_to_each_other_for_ever(store, clock):
    channels = [ScriptedChannel(name, kind, *[REFUSED] * 50) for name, kind in (("a", "slack"), ("b", "smtp"))]
    store.enqueue([sample_message(channel="a")])
    assert sender(store, clock, *channels).drain_once() < 10


def test_a_message_to_a_channel_that_is_gone_goes_to_people_anyway(store, clock):
    mail = ScriptedChannel("mail", "smtp")
    store.enqueue([sample_message(channel="removed")])
    sender(store, clock, mail).drain_once()
    assert MessageKind.FIRED in [m.kind for m in mail.sent]


def test_after_a_day_a_warning_is_given_up_and_a_firing_critical_is_not(store, clock):
    channel = ScriptedChannel("slack", "slack", *[GONE] * 20)
    store.commit(sample_run(incidents=(sample_incident("inc_a"), sample_incident("inc_b"))))
    store.enqueue([sample_message(severity=Severity.WARNING), sample_message(incident="inc_b")])
    delivering = sender(store, clock, channel)
    clock.advance(25 * HOUR)
    delivering.drain_once()
    assert statuses(store, "slack") == [DeliveryStatus.DEAD, DeliveryStatus.QUEUED]
    over = store.incident("inc_b")
    store.save_incident(replace(over, state=IncidentState.RESOLVED), ())
    clock.advance(HOUR)
    delivering.drain_once()
    assert statuses(store, "slack") == [DeliveryStatus.DEAD, DeliveryStatus.DEAD]


def test_a_bug_in_a_channel_is_reported_without_its_text_and_tried_again(store, clock):
    channel = ScriptedChannel("slack", "slack", RuntimeError("token xoxb-canary"))
    said = []
    delivering = sender(store, clock, channel, report=lambda event, fields: said.append((event, dict(fields))))
    store.enqueue([sample_message()])
    delivering.drain_once()
    assert said[0][0] == "message_retried"
    assert "canary" not in str(said) + str(store.deliveries())
    clock.advance(HOUR)
    delivering.drain_once()
    assert len(channel.sent) == 1


def test_what_a_channel_has_no_use_for_is_dropped_not_sent(store, clock):
    channel = ScriptedChannel("pager", "pagerduty", Receipt(dropped=True, note="nobody was paged"))
    store.enqueue([sample_message(MessageKind.RESOLVED, channel="pager")])
    sender(store, clock, channel).drain_once()
    assert statuses(store, "pager") == [DeliveryStatus.DROPPED]


def test_slack_gets_three_at_once_and_then_one_a_second():
    bucket, sent = TokenBucket(PACES["slack"], now=0.0), []
    now = 0.0
    while now < 10:
        wait = bucket.wait(now)
        if wait == 0:
            bucket.spend()
            sent.append(now)
        now += wait or 0.0
        now = round(now + (0.001 if wait else 0), 3)
    assert sent[:3] == [0.0, 0.0, 0.0]
    assert len(sent) <= 13


@pytest.fixture
def running_store(tmp_path):
    store = SqlStateStore("sqlite:state.db", RealClock(), home=tmp_path)
    yield store
    store.close()


def test_a_hanging_channel_delays_no_other_by_more_than_a_second(running_store):
    clock, release, stop = RealClock(), Event(), Event()
    hanging = ScriptedChannel("slack", "slack", lambda: release.wait(30))
    mail = ScriptedChannel("mail", "smtp")
    delivering = sender(running_store, clock, hanging, mail, policy=SenderPolicy(drain=SECOND))
    runner = Thread(target=delivering.run, args=(stop,))
    runner.start()
    try:
        running_store.enqueue([sample_message(at=clock.now())])
        until(lambda: not hanging.answers)
        started = time.monotonic()
        running_store.enqueue([sample_message(channel="mail", at=clock.now())])
        until(lambda: mail.sent)
        assert time.monotonic() - started < 1.0 + 1.0, "1 s, and as much again for a busy machine"
        assert hanging.sent == []
    finally:
        release.set()
        stop.set()
        runner.join(20)


def test_a_stop_sends_what_is_due_and_leaves_the_rest(running_store):
    clock, stop = RealClock(), Event()
    channel = ScriptedChannel("slack")
    delivering = sender(running_store, clock, channel)
    running_store.enqueue([sample_message(incident=f"inc_{n}", at=clock.now()) for n in range(50)])
    running_store.enqueue([sample_message(incident="later", at=clock.now() + HOUR)])
    stop.set()
    started = time.monotonic()
    delivering.run(stop)
    assert time.monotonic() - started <= 11
    assert len(channel.sent) == 50
    assert statuses(running_store, "slack").count(DeliveryStatus.QUEUED) == 1


def test_a_stop_does_not_wait_for_a_hanging_channel(running_store):
    clock, release, stop = RealClock(), Event(), Event()
    hanging = ScriptedChannel("slack", "slack", lambda: release.wait(30))
    delivering = sender(running_store, clock, hanging, policy=SenderPolicy(drain=SECOND))
    running_store.enqueue([sample_message(at=clock.now())])
    runner = Thread(target=delivering.run, args=(stop,))
    runner.start()
    until(lambda: not hanging.answers)
    stop.set()
    runner.join(10)
    assert not runner.is_alive()
    assert running_store.deliveries()[0].status is DeliveryStatus.SENDING
    release.set()
    until(lambda: running_store.deliveries()[0].status is DeliveryStatus.SENT)


def test_two_senders_never_send_the_same_message(running_store):
    clock, stop = RealClock(), Event()
    first, second = ScriptedChannel("slack"), ScriptedChannel("slack")
    running_store.enqueue([sample_message(incident=f"inc_{n}", at=clock.now()) for n in range(60)])
    runners = [Thread(target=sender(running_store, clock, c).run, args=(stop,)) for c in (first, second)]
    for runner in runners:
        runner.start()
    until(lambda: len(first.sent) + len(second.sent) >= 60, 60)
    stop.set()
    for runner in runners:
        runner.join(20)
    ids = [m.delivery_id for m in first.sent + second.sent]
    assert len(ids) == len(set(ids)) == 60


def test_every_try_is_counted_by_what_became_of_it(store, clock):
    slack = ScriptedChannel("slack", "slack", GONE, GONE)
    mail = ScriptedChannel("mail", "smtp", REFUSED)
    beat = ScriptedChannel("heartbeat", "null")
    delivering = sender(store, clock, slack, mail, beat)
    zero = {(name, result): 0 for name in ("slack", "mail") for result in ("sent", "retried", "dead", "dropped")}
    assert delivering.results() == zero
    store.enqueue([sample_message(channel="slack"), sample_message(channel="mail")])
    store.enqueue([sample_message(channel="heartbeat"), sample_message(channel="gone")])
    for _ in range(4):
        delivering.drain_once()
        clock.advance(HOUR)
    found = delivering.results()
    assert found["slack", "retried"] == 2
    assert found["slack", "sent"] == len(slack.sent)
    assert found["mail", "dead"] == 1
    assert found["gone", "dead"] == 1
    assert not [channel for channel, _ in found if channel == "heartbeat"]
