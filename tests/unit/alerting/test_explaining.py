"""Why it fired and why people were, or were not, told."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from alert_scenes import ERRORS, LATENCY, PSI, START, day, psi_day, psi_of, rehearsal, serving
from tiltmeter.alerting.explaining import story_of
from tiltmeter.domain.alert import Silence
from tiltmeter.domain.message import Delivery, DeliveryStatus, Receipt
from tiltmeter.domain.metric import Status


def story(play, *, deliveries=(), now=None):
    [incident] = play.incidents.values() or [None]
    alerts = list(play.alerts.values())
    return story_of(alerts, incident, play.events, deliveries, rules=play.rules, zone=ZoneInfo("UTC"), now=now or START)


def texts(lines):
    return [line.text for line in lines]


def test_a_story_says_what_it_breached_and_how_it_went_on():
    play = rehearsal(PSI)
    for number, value in enumerate((0.3, 0.6, 0.1, 0.1, 0.1, 0.1)):
        psi_day(play, number, value)
    assert texts(story(play, now=day(9).end).fired) == [
        "plan (feature_psi) fires as warning with PSI 0.30, its limit is > 0.25",
        "plan (feature_psi) gets worse: critical with PSI 0.60, its limit is > 0.50",
        "plan (feature_psi) is over with PSI 0.10",
    ]
    assert texts(story(play).quiet)[-1] == "it is over: nothing more is sent"


def test_an_alert_that_waits_says_for_what():
    play = rehearsal(LATENCY)
    for seconds in (0, 10, 20):
        serving(play, seconds, "serving.latency_ms.p95", 900.0)
    found = story_of(
        list(play.alerts.values()), None, play.events, [], rules=play.rules, zone=ZoneInfo("UTC"), now=START
    )
    assert texts(found.fired) == [
        "lead-scoring (latency) is in breach with P95 900 ms; it fires once that lasts 3 min",
        "lead-scoring (latency) does not fire yet: 20 s of 3 min in breach",
    ]


def test_a_silence_is_named_with_its_reason_and_its_end():
    silence = Silence("sil_1", {"rule": "errors"}, START, START + timedelta(hours=1), "Anna", "maintenance")
    play = rehearsal(ERRORS, silences=[silence])
    serving(play, 0, "serving.error_rate", 0.5)
    assert texts(story(play).quiet) == [
        "not told: silenced by Anna (sil_1): maintenance",
        "quiet now: silenced by Anna (sil_1): maintenance",
    ]
    play.let_pass(START + timedelta(hours=1))
    assert 'may be told again: over is "silenced by Anna (sil_1): maintenance"' in texts(story(play).quiet)


def test_steps_acknowledgements_and_what_comes_next_are_said():
    play = rehearsal(ERRORS)
    serving(play, 0, "serving.error_rate", 0.5)
    assert "goes to level 2 Sun 1 Nov 00:15 UTC if nobody acknowledges" in texts(story(play).quiet)
    play.let_pass(START + timedelta(minutes=15))
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Anna", now=START + timedelta(minutes=20))
    said = texts(story(play).quiet)
    assert "nobody acknowledged: step 2 to slack, email" in said
    assert "acknowledged by Anna: steps and reminders stop" in said
    assert "the acknowledgement ends Sun 1 Nov 08:20 UTC" in said


def test_every_end_of_a_message_is_a_sentence():
    play = rehearsal(ERRORS)
    serving(play, 0, "serving.error_rate", 0.5)
    message = play.messages[0]
    ends = {
        DeliveryStatus.SENT: ("slack, fired: sent at try 2; b@x refused", {"receipt": Receipt(note="b@x refused")}),
        DeliveryStatus.DEAD: (
            "slack, fired: given up at try 2, its fallback has it: no such channel", {"last_error": "no such channel"},
        ),
        DeliveryStatus.DROPPED: (
            "slack, fired: not sent, recovered before it could be sent",
            {"last_error": "recovered before it could be sent"},
        ),
        DeliveryStatus.SENDING: ("slack, fired: is being sent at try 2", {}),
        DeliveryStatus.QUEUED: (
            "slack, fired: waits after 2 tries: 429; tried again Sun 1 Nov 00:00 UTC", {"last_error": "429"},
        ),
    }  # fmt: skip
    for status, (words, more) in ends.items():
        delivery = Delivery(message, status, START, attempts=2, **more)
        assert texts(story(play, deliveries=[delivery]).told) == [words]


def test_a_severity_without_a_channel_says_so():
    play = rehearsal(PSI.replace("warning: {above: 0.25, clear_below: 0.20}", "info: {above: 0.25}"))
    psi_day(play, 0, 0.3)
    assert "info goes to the dashboard alone: no route names another channel" in texts(story(play).quiet)


@pytest.mark.parametrize(
    ("status", "words"), [(Status.MISSING_COLUMN, "the column is gone"), (Status.TYPE_CHANGED, "changed its type")]
)
def test_what_became_of_a_column_is_said_in_words_and_stored_as_it_was(status, words):
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    play.judge([psi_of(day(1), "plan", None, status=status)], day(1))
    assert f"plan (feature_psi) has no fresh number: its state is frozen, which is no recovery ({words})" in texts(
        story(play).fired
    )
    assert [event.detail["why"] for event in play.events if event.kind == "alert_stale"] == [status.value]
