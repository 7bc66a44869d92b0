"""Somebody saw it on the dashboard and took it, before any channel was told."""

from datetime import timedelta

import pytest

from alert_scenes import ERRORS, PSI, START, day, kinds, psi_day, rehearsal, serving
from tiltmeter.domain.alert import Silence
from tiltmeter.domain.message import TAKEN

QUIET = Silence("sil_1", {"rule": "errors"}, START, START + timedelta(minutes=30), "Anna", "maintenance")


def acknowledged(*, minutes=10):
    """Errors that a silence hides, acknowledged meanwhile."""
    play = rehearsal(ERRORS, silences=[QUIET])
    serving(play, 0, "serving.error_rate", 0.5)
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Ben", note="on it", now=START + timedelta(minutes=minutes))
    assert not play.messages
    return play


def test_the_first_message_says_who_took_it_and_nobody_is_called_again():
    play = acknowledged()
    told = play.let_pass(START + timedelta(minutes=30))
    channels = ["slack", "email", "pagerduty"]
    assert kinds(told) == [(c, "fired") for c in channels] + [(c, "acknowledged") for c in channels]
    assert told.messages[0].content.facts[TAKEN].startswith("Ben")
    [incident] = play.open_incidents()
    assert (incident.acknowledged_by, incident.note) == ("Ben", "on it")
    for minutes in (46, 91, 300):  # steps after 15 and 60 minutes, a reminder after four hours
        assert not play.let_pass(START + timedelta(minutes=minutes)).messages


def test_it_ends_by_itself_as_any_acknowledgement_does():
    play = acknowledged()
    play.let_pass(START + timedelta(minutes=30))
    assert not play.let_pass(START + timedelta(hours=8, minutes=9)).messages
    assert {kind for _, kind in kinds(play.let_pass(START + timedelta(hours=8, minutes=10)))} == {"reminded"}
    assert not play.open_incidents()[0].acknowledged_by


def test_one_that_had_ended_before_the_first_message_stops_nothing():
    play = rehearsal(ERRORS, silences=[Silence("sil_1", {"rule": "errors"}, START, day(0).end, "Anna", "maintenance")])
    serving(play, 0, "serving.error_rate", 0.5)
    play.acknowledge(play.open_incidents()[0].id, by="Ben", now=START + timedelta(minutes=10))
    assert {kind for _, kind in kinds(play.let_pass(day(0).end))} == {"fired"}
    [incident] = play.open_incidents()
    assert not incident.acknowledged_by
    assert incident.next_step_at == day(0).end + timedelta(minutes=15)


@pytest.mark.parametrize(("later", "by"), [(0.4, "Ben"), (0.6, "")])
def test_it_holds_for_what_was_acknowledged_and_not_for_worse(later, by):
    quiet = Silence("sil_1", {"rule": "feature_psi"}, START, day(1).end + timedelta(hours=1), "Anna", "known")
    play = rehearsal(PSI, silences=[quiet])
    psi_day(play, 0, 0.3)
    play.acknowledge(play.open_incidents()[0].id, by="Ben", now=day(0).end)
    psi_day(play, 1, later)
    assert play.let_pass(quiet.ends_at).messages
    assert play.open_incidents()[0].acknowledged_by == by


def test_it_is_not_kept_for_the_next_time():
    play = acknowledged()
    for seconds in (700, 710):
        serving(play, seconds, "serving.error_rate", 0.0)
    assert not play.open_incidents()
    told = serving(play, 1_810, "serving.error_rate", 0.5)  # back within half an hour, the silence is over
    assert {kind for _, kind in kinds(told)} == {"fired"}
    assert not play.open_incidents()[0].acknowledged_by
