"""The numbered failure tests of the alerting design that need no database and no network."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from alert_scenes import (
    ERRORS,
    LATENCY,
    MODEL,
    PSI,
    START,
    day,
    kinds,
    live,
    only_alert,
    psi_day,
    psi_of,
    rehearsal,
    rule_set,
    serving,
)
from tiltmeter.alerting.advance import RULE_ERROR, advance
from tiltmeter.alerting.lifecycle import step
from tiltmeter.alerting.rules import verdicts
from tiltmeter.alerting.situation import Load
from tiltmeter.alerting.views import is_muted
from tiltmeter.channels.slack_blocks import root_blocks
from tiltmeter.config.rules import check_rules, load_rules
from tiltmeter.config.yaml_source import parse_yaml
from tiltmeter.domain.alert import AlertState, IncidentState, Silence
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.rule import MuteTiming
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, windows_between

LATENCY_P95 = "serving.latency_ms.p95"
ERROR_RATE = "serving.error_rate"


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("drift.psi", 0.25, "none"),
        ("drift.psi", 0.2501, "warning"),
        ("drift.psi", 0.50, "warning"),
        ("drift.psi", 0.5001, "critical"),
        (LATENCY_P95, 500.0, "none"),
        (LATENCY_P95, 501.0, "warning"),
        (ERROR_RATE, 0.0100, "none"),
        (ERROR_RATE, 0.0101, "critical"),
    ],
)
def test_01_limits_are_strict(metric, value, expected):
    packaged = [rule for rule in load_rules(None).rules if rule.id in ("feature_psi", "latency_p95", "error_rate")]
    feature = "plan" if metric == "drift.psi" else ""
    number = Metric(metric, Subject(MODEL, feature=feature), day(0), value, n_current=5_000, q_value=0.0)
    [verdict] = verdicts([number], packaged)
    assert verdict.severity.word == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_02_a_broken_number_freezes_the_state_and_is_reported(value):
    play = rehearsal(PSI)
    psi_day(play, 0, 0.6)
    psi_day(play, 1, value)
    psi_day(play, 2, value)
    [alert] = [a for a in play.alerts.values() if a.rule == "feature_psi"]
    assert (alert.state, alert.severity) == (AlertState.FIRING, Severity.CRITICAL)
    [meta] = [a for a in play.alerts.values() if a.rule == RULE_ERROR]
    assert meta.state is AlertState.FIRING
    assert meta.subject.segment_value == "feature_psi"


def test_02_too_few_rows_are_neither_an_alert_nor_a_recovery():
    play = rehearsal(PSI)
    window = day(0)
    play.judge([psi_of(window, "plan", 0.9, n_current=199)], window)
    assert not play.alerts
    psi_day(play, 1, 0.6)
    for number in range(2, 6):
        window = day(number)
        play.judge([psi_of(window, "plan", 0.0, n_current=199)], window)
    assert only_alert(play).state is AlertState.FIRING


def test_03_a_breach_shorter_than_for_tells_nobody():
    play = rehearsal(LATENCY)
    for seconds in (*range(0, 179, 10), 179):  # 2 min 59 s
        serving(play, seconds, LATENCY_P95, 900.0)
    serving(play, 189, LATENCY_P95, 100.0)
    assert not play.messages
    assert only_alert(play).state is AlertState.INACTIVE


def test_03_a_breach_as_long_as_for_fires():
    play = rehearsal(LATENCY)
    for seconds in range(0, 181, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    assert [m.kind for m in play.messages] == [MessageKind.FIRED]
    assert only_alert(play).since == START


def test_04_a_gap_freezes_the_timer():
    play = rehearsal(LATENCY)
    for seconds in range(0, 91, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    held = only_alert(play).held
    serving(play, 100, LATENCY_P95, None)
    assert only_alert(play).held == held == timedelta(seconds=90)
    for seconds in range(110, 191, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    assert only_alert(play).state is AlertState.FIRING  # 90 s before and 90 s after the gap


def test_05_swinging_around_the_limit_fires_once():
    play = rehearsal(PSI)
    for number in range(20):
        psi_day(play, number, 0.26 if number % 2 == 0 else 0.24)
    assert [e.kind for e in play.events] == ["alert_fired"]
    assert [m.kind for m in play.messages if m.channel == "slack"] == [MessageKind.FIRED]


def test_05_swinging_down_to_clear_ends_in_one_flapping_message():
    play = rehearsal(PSI.replace("levels", "resolve_after: 1, levels"))
    for number in range(40):
        psi_day(play, number, 0.26 if number % 2 == 0 else 0.19)
    said = [m.kind for m in play.messages if m.channel == "slack"]
    assert said.count(MessageKind.FLAPPING) == 1
    assert len(said) <= 6
    assert said[-1] is MessageKind.FLAPPING
    for number in range(40, 60):
        psi_day(play, number, 0.05)
    assert play.messages[-1].kind is MessageKind.RESOLVED
    assert not play.open_incidents()


def test_06_a_series_that_vanishes_is_stale_and_never_resolved():
    play = rehearsal(PSI)
    psi_day(play, 0, plan=0.6, region=0.6)
    for number in range(1, 6):
        psi_day(play, number, region=0.1)
    states = {alert.subject.feature: alert for alert in play.alerts.values()}
    assert states["plan"].state is AlertState.FIRING
    assert states["plan"].stale
    assert states["region"].state is AlertState.RESOLVED
    notes = [m for m in play.messages if m.channel == "slack" and m.kind is MessageKind.UPDATED]
    assert len(notes) == 1
    assert "no fresh data for plan" in notes[0].content.facts["Now"]


def test_06_a_failed_query_is_a_rule_error():
    play = rehearsal(PSI)
    window = day(0)
    play.judge([psi_of(window, "plan", None, status=Status.ERROR, why_missing="table is gone")], window)
    [meta] = play.alerts.values()
    assert meta.rule == RULE_ERROR
    assert "table is gone" in play.messages[0].content.title


def test_07_no_data_obeys_for():
    play = rehearsal(LATENCY.replace("for: 3m", "for: 3m, no_data: alert"))
    for seconds in range(0, 171, 10):
        serving(play, seconds, LATENCY_P95, None)
    assert not play.messages
    serving(play, 180, LATENCY_P95, None)
    assert [m.kind for m in play.messages] == [MessageKind.FIRED]


@pytest.mark.parametrize("stop_at", [60, 200])
def test_08_a_restart_keeps_since_and_says_nothing_twice(stop_at):
    play = rehearsal(LATENCY)
    for seconds in range(0, stop_at, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    before = len(play.messages)
    again = rehearsal(LATENCY)  # all that a restart has is what was stored
    again.alerts, again.incidents, again.messages = dict(play.alerts), dict(play.incidents), list(play.messages)
    for seconds in range(stop_at, 400, 10):
        serving(again, seconds, LATENCY_P95, 900.0)
    assert only_alert(again).since == START
    assert [m.kind for m in again.messages] == [MessageKind.FIRED]
    assert before in (0, 1)


def test_13_19_a_recovery_follows_its_alarm_in_sequence():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    for seconds in (10, 20):
        serving(play, seconds, ERROR_RATE, 0.0)
    for channel in ("slack", "email", "pagerduty"):
        fired, resolved = [m for m in play.messages if m.channel == channel]
        assert (fired.kind, resolved.kind) == (MessageKind.FIRED, MessageKind.RESOLVED)
        assert fired.sequence < resolved.sequence
        assert fired.incident == resolved.incident


def test_23_thirty_features_are_one_message_and_the_31st_is_a_note():
    play = rehearsal(PSI)
    features = {f"f{number:02}": 0.3 + number / 1000 for number in range(30)}
    changed = psi_day(play, 0, **features)
    assert kinds(changed) == [("slack", "fired")]
    [incident] = changed.incidents
    content = changed.messages[0].content
    assert len(incident.alerts) == 30
    assert content.title == "30 features drifted, worst f29 PSI 0.33"
    assert [row.subject for row in content.rows] == [f"f{number:02}" for number in range(29, -1, -1)]
    root = "".join(block["text"]["text"] for block in root_blocks(changed.messages[0]) if "text" in block)
    assert root.index("*f29*") < root.index("*f25*") < root.index("and 25 more in the thread")
    assert "f24" not in root
    next_day = psi_day(play, 1, **features, late_comer=0.4)
    assert kinds(next_day) == [("slack", "updated")]
    assert "late_comer" in next_day.messages[0].content.facts["Now"]
    assert len(play.open_incidents()) == 1


def test_23_a_critical_feature_of_next_day_pages_once():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    assert kinds(psi_day(play, 1, plan=0.3, region=0.6)) == [
        ("slack", "worsened"), ("email", "fired"), ("pagerduty", "fired"),
    ]  # fmt: skip
    again = psi_day(play, 2, plan=0.3, region=0.6, size=0.7)
    assert {kind for _, kind in kinds(again)} == {"updated"}  # a note, the incident stays the same page


@pytest.mark.slow
def test_24_five_hundred_incidents_in_a_minute_are_a_digest():
    plays = rehearsal(ERRORS)
    for number in range(500):
        window = live(number * 60 / 500)
        subject = Subject(f"model-{number}")
        metric = Metric(ERROR_RATE, subject, window, 0.5, n_current=1_000)
        plays.model = subject.model
        plays.judge([metric], window)
    for channel in ("slack", "email", "pagerduty"):
        assert sum(1 for m in plays.messages if m.channel == channel) <= 30
    assert any(m.kind is MessageKind.DIGEST for m in plays.messages)
    real = [i for i in plays.open_incidents() if i.model]
    assert len(real) == 500
    # Nothing is lost: as the storm goes on being told, every incident is said, never more than thirty in ten minutes.
    now = START + timedelta(minutes=11)
    for _ in range(60 * 5):
        plays.let_pass(now)
        now += timedelta(minutes=1)
    told = {m.incident for m in plays.messages if m.kind is MessageKind.FIRED}
    assert {i.id for i in real} <= told
    assert _most_in_ten_minutes([m.created_at for m in plays.messages if m.channel == "pagerduty"]) <= 30


def test_24_the_heartbeats_own_messages_are_no_storm():
    play = rehearsal(ERRORS)
    window = live(0)
    situation = replace(play.situation(window.end), load=Load(0, {"heartbeat": 600, "dashboard": 600}))
    found = verdicts([Metric(ERROR_RATE, Subject(MODEL), window, 0.5, n_current=500)], play.rules.rules)
    said = advance(situation, found, window=window, now=window.end).messages
    assert {m.kind for m in said} == {MessageKind.FIRED}


def _most_in_ten_minutes(times):
    return max(sum(1 for t in times if begin <= t < begin + timedelta(minutes=10)) for begin in times)


def test_27_getting_worse_voids_the_acknowledgement_and_getting_better_is_silent():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Anna", now=day(0).end)
    worse = psi_day(play, 1, 0.6)
    assert ("pagerduty", "fired") in kinds(worse)
    assert play.open_incidents()[0].acknowledged_by == ""
    play.acknowledge(incident.id, by="Anna", now=day(1).end)
    better = [psi_day(play, number, 0.3) for number in (2, 3, 4)]
    assert only_alert(play).severity is Severity.WARNING
    assert not any(changed.messages for changed in better)
    assert play.open_incidents()[0].acknowledged_by == "Anna"


def test_28_steps_fire_on_time_and_stop_at_the_acknowledgement():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    assert not play.let_pass(START + timedelta(minutes=14, seconds=59)).messages
    first = play.let_pass(START + timedelta(minutes=15))
    assert kinds(first) == [("slack", "escalated"), ("email", "escalated")]
    assert all(message.broadcast for message in first.messages)
    assert kinds(play.let_pass(START + timedelta(minutes=60))) == [("pagerduty", "escalated")]
    assert not play.let_pass(START + timedelta(minutes=61)).messages


def test_28_an_acknowledgement_just_before_the_step_cancels_it():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Anna", now=START + timedelta(minutes=14, seconds=59))
    assert not play.let_pass(START + timedelta(minutes=15)).messages
    assert not play.let_pass(START + timedelta(hours=7)).messages
    expired = play.let_pass(START + timedelta(hours=8, minutes=15))
    assert kinds(expired) == [("slack", "reminded"), ("email", "reminded"), ("pagerduty", "reminded")]
    assert "expired" in expired.messages[0].content.facts["Now"]
    assert kinds(play.let_pass(START + timedelta(hours=8, minutes=30))) == [
        ("slack", "escalated"), ("email", "escalated"),
    ]  # fmt: skip


def test_28_a_restart_between_steps_goes_on_where_it_stopped():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    play.let_pass(START + timedelta(minutes=15))
    again = rehearsal(ERRORS)
    again.alerts, again.incidents, again.messages = dict(play.alerts), dict(play.incidents), list(play.messages)
    late = again.let_pass(START + timedelta(minutes=90))  # the service was down when the step was due
    assert kinds(late) == [("pagerduty", "escalated")]


def test_29_an_open_incident_keeps_the_policy_it_began_with():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    edited = rule_set(ERRORS).escalations["critical"]
    edited = replace(edited, steps=(edited.steps[0], replace(edited.steps[1], to=("somebody-else",))))
    play.rules = replace(play.rules, escalations={"critical": edited})
    assert kinds(play.let_pass(START + timedelta(minutes=15))) == [("slack", "escalated"), ("email", "escalated")]
    for seconds in (10, 20):
        serving(play, seconds, ERROR_RATE, 0.0)
    late = 3 * 3600
    serving(play, late, ERROR_RATE, 0.5)
    second = play.let_pass(START + timedelta(seconds=late, minutes=15))
    assert kinds(second) == [("somebody-else", "escalated")]


def test_30_many_acknowledgements_are_one():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    [incident] = play.open_incidents()
    now = START + timedelta(minutes=1)
    first = play.acknowledge(incident.id, by="Anna", now=now)
    assert {kind for _, kind in kinds(first)} == {"acknowledged"}
    for other in ("Ben", "PagerDuty", "Anna"):
        assert play.acknowledge(incident.id, by=other, now=now) == type(first)()
    assert play.incidents[incident.id].acknowledged_by == "Anna"


def _silence(begin: float, end: float, **matchers) -> Silence:
    return Silence(
        "sil_1", matchers or {"rule": "errors"}, START + timedelta(minutes=begin), START + timedelta(minutes=end),
        "Anna", "maintenance",
    )  # fmt: skip


def test_31_a_silence_from_before_keeps_quiet_and_the_state_is_seen():
    play = rehearsal(ERRORS, silences=[_silence(-1, 60)])
    serving(play, 0, ERROR_RATE, 0.5)
    assert not play.messages
    assert only_alert(play).state is AlertState.FIRING
    assert play.open_incidents()[0].severity is Severity.CRITICAL


def test_31_a_silence_during_stops_steps_and_its_end_says_one_message():
    play = rehearsal(ERRORS, silences=[_silence(-1, 60)])
    serving(play, 0, ERROR_RATE, 0.5)
    assert not play.let_pass(START + timedelta(minutes=59)).messages
    ended = play.let_pass(START + timedelta(minutes=60))
    assert kinds(ended) == [("slack", "fired"), ("email", "fired"), ("pagerduty", "fired")]
    assert not play.let_pass(START + timedelta(minutes=61)).messages


def test_31_a_recovery_within_the_silence_is_no_message():
    play = rehearsal(ERRORS, silences=[_silence(-1, 60)])
    serving(play, 0, ERROR_RATE, 0.5)
    for seconds in (10, 20):
        serving(play, seconds, ERROR_RATE, 0.0)
    assert not play.messages
    assert not play.open_incidents()


def test_31_an_expired_or_empty_silence_is_ignored():
    empty = replace(_silence(-1, 60), matchers={})
    play = rehearsal(ERRORS, silences=[_silence(-60, 0), empty, _silence(-1, 60, rule="another")])
    assert serving(play, 0, ERROR_RATE, 0.5).messages


JOB_LATE = "{id: job_late, metric: batch.overdue, by: [job], min_rows: 0, levels: {warning: {above: 0h}}}"
INHIBIT = "{source: {rule: job_late}, target: {rules: [feature_psi]}, equal: [model]}"


def _with_inhibition():
    play = rehearsal(JOB_LATE, PSI)
    text = f"rules:\n  - {JOB_LATE}\n  - {PSI}\ninhibit:\n  - {INHIBIT}\n"
    found, problems = check_rules(parse_yaml(text, name="rules.yaml"))
    assert not problems
    play.rules = replace(play.rules, inhibitions=found.inhibitions)
    return play


def _late_job(window, seconds):
    subject = Subject(MODEL, segment_key="job", segment_value="nightly")
    return Metric("batch.overdue", subject, window, seconds, n_current=1)


def test_32_the_target_is_quiet_until_the_source_recovers():
    play = _with_inhibition()
    both = [play.judge([_late_job(day(n), 7200.0), psi_of(day(n), "plan", 0.3)], day(n)) for n in (0, 1)]
    assert [kinds(changed) for changed in both] == [[("slack", "fired")], []]
    assert len(play.open_incidents()) == 1  # cause and effect are one incident
    for number in (2, 3):
        last = play.judge([_late_job(day(number), 0.0), psi_of(day(number), "plan", 0.3)], day(number))
    assert kinds(last) == [("slack", "updated")]


def test_a_job_that_is_late_days_after_a_drift_is_an_incident_of_its_own():
    play = _with_inhibition()
    play.judge([_late_job(day(0), 0.0), psi_of(day(0), "plan", 0.3)], day(0))
    for number in (1, 2):
        play.judge([_late_job(day(number), 7200.0), psi_of(day(number), "plan", 0.3)], day(number))
    assert sorted(incident.title for incident in play.open_incidents()) == [
        "job nightly is 2 h late",
        "plan drifted, PSI 0.30",
    ]
    play.judge([_late_job(day(3), 0.0), psi_of(day(3), "plan", 0.3)], day(3))
    late = next(i for i in play.incidents.values() if "nightly" in i.title)
    assert late.title == "job nightly is 2 h late"


def test_32_a_silenced_source_still_inhibits():
    play = _with_inhibition()
    play.silences.append(
        Silence("sil_1", {"rule": "job_late"}, START, START + timedelta(days=9), "Anna", "known"),
    )
    play.judge([_late_job(day(0), 7200.0), psi_of(day(0), "plan", 0.3)], day(0))
    assert not play.messages


def test_32_a_rule_that_inhibits_itself_is_refused():
    text = f"rules:\n  - {PSI}\ninhibit:\n  - {{source: {{rule: feature_psi}}, target: {{rules: [feature_psi]}}}}\n"
    _, problems = check_rules(parse_yaml(text, name="rules.yaml"))
    assert ["inhibit itself" in str(problem) for problem in problems] == [True]
    assert str(problems[0]).startswith("rules.yaml:4:")


def _muted(timing: MuteTiming, *moment: int, zone: str = "Europe/Berlin") -> bool:
    local = ZoneInfo(zone)
    return is_muted(timing, datetime(*moment, tzinfo=local).astimezone(UTC), local)


def test_33_muting_across_midnight():
    nights = MuteTiming("nights", inside="22:00-06:00", days=("mon",))
    assert _muted(nights, 2026, 11, 23, 22, 0)  # Monday
    assert _muted(nights, 2026, 11, 24, 5, 59)  # the same night, on Tuesday
    assert not _muted(nights, 2026, 11, 24, 6, 0)
    assert not _muted(nights, 2026, 11, 24, 22, 0)
    assert not _muted(nights, 2026, 11, 23, 5, 59)  # the night that began on Sunday


def test_33_business_hours_mute_the_rest_of_the_week():
    hours = MuteTiming("office", outside="08:00-18:00", days=("mon", "tue", "wed", "thu", "fri"))
    assert not _muted(hours, 2026, 11, 23, 8, 0)
    assert _muted(hours, 2026, 11, 23, 18, 0)
    assert _muted(hours, 2026, 11, 22, 12, 0)  # Sunday


@pytest.mark.parametrize(
    ("utc", "muted"),
    [
        ("2026-03-28T21:30", False),  # 22:30 CET
        ("2026-03-28T22:00", True),  # 23:00 CET
        ("2026-03-29T02:59", True),  # 04:59 CEST, the clock skipped 02:00
        ("2026-03-29T03:00", False),  # 05:00 CEST
        ("2026-10-24T20:59", False),  # 22:59 CEST
        ("2026-10-24T21:00", True),  # 23:00 CEST
        ("2026-10-25T03:59", True),  # 04:59 CET, the clock repeated 02:00
        ("2026-10-25T04:00", False),  # 05:00 CET
    ],
)
def test_33_muting_follows_the_local_clock_over_its_changes(utc, muted):
    nights = MuteTiming("nights", inside="23:00-05:00")
    assert is_muted(nights, datetime.fromisoformat(utc).replace(tzinfo=UTC), ZoneInfo("Europe/Berlin")) is muted


def test_33_an_unknown_zone_is_an_error_of_the_check():
    text = 'mute_timings: {nights: {inside: "22:00-06:00", timezone: Europe/Berlon}}\n'
    _, problems = check_rules(parse_yaml(text, name="rules.yaml"))
    assert "Europe/Berlon" in str(problems[0])


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia"])
def test_34_every_day_and_hour_of_a_year_is_judged_once(zone):
    local = ZoneInfo(zone)
    begin, end = datetime(2026, 1, 1, tzinfo=local), datetime(2027, 1, 1, tzinfo=local)
    days = list(windows_between(begin, end, Grain.DAY, local))
    assert len(days) == 365
    assert len({w.start.astimezone(local).date() for w in days}) == 365
    assert all(one.end == two.start for one, two in pairwise(days))
    lengths = {w.length.total_seconds() / 3600 for w in days}
    assert lengths == ({24.0} if zone in ("Asia/Kolkata", "Pacific/Apia") else {23.0, 24.0, 25.0})
    hours = list(windows_between(begin, end, Grain.HOUR, local))
    assert len(hours) == 365 * 24
    assert all(one.end == two.start for one, two in pairwise(hours))


def test_35_missed_days_are_made_up_in_order_with_one_summary():
    play = rehearsal(PSI)
    now = day(3).end
    for number in range(3):
        changed = play.judge(
            [psi_of(day(number), "plan", 0.3)], day(number), now=now, is_catching_up=True, late_windows=number
        )
        assert not changed.messages
    last = play.judge([psi_of(day(3), "plan", 0.3)], day(3), now=now, late_windows=3)
    assert kinds(last) == [("slack", "fired")]
    facts = last.messages[0].content.facts
    assert facts["Evaluated late"].startswith("3 windows")
    assert "2 Nov 2026" in facts["Since"]  # the end of the first day in breach, not the evaluation


def test_35_what_came_and_went_while_the_monitor_was_down_tells_nobody():
    play = rehearsal(PSI)
    for number, value in enumerate((0.3, 0.1, 0.1)):
        play.judge([psi_of(day(number), "plan", value)], day(number), now=day(3).end, is_catching_up=True)
    play.judge([psi_of(day(3), "plan", 0.1)], day(3), now=day(3).end, late_windows=3)
    assert not play.messages
    assert not play.open_incidents()
    assert [e.kind for e in play.events] == ["alert_fired", "alert_resolved"]


def test_36_late_rows_that_breach_are_found_late():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.1)
    changed = play.judge([psi_of(day(0), "plan", 0.3)], day(0), now=day(0).end + timedelta(hours=6), is_late=True)
    assert kinds(changed) == [("slack", "fired")]
    assert "Found late" in changed.messages[0].content.facts
    assert only_alert(play).late


def test_36_late_rows_that_clear_a_window_are_a_note_and_no_silent_recovery():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    changed = play.judge([psi_of(day(0), "plan", 0.1)], day(0), now=day(0).end + timedelta(hours=6), is_late=True)
    assert kinds(changed) == [("slack", "updated")]
    assert "corrected by late rows" in changed.messages[0].content.facts["Now"]
    assert only_alert(play).state is AlertState.FIRING


def test_37_a_clock_that_jumps_sends_nothing_again_and_fulfils_no_for():
    play = rehearsal(LATENCY)
    for seconds in range(0, 31, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    serving(play, 86_400, LATENCY_P95, 900.0)  # + 1 day
    assert only_alert(play).state is AlertState.PENDING
    for seconds in range(86_410, 86_610, 10):
        serving(play, seconds, LATENCY_P95, 900.0)
    assert len(play.messages) == 1
    for seconds in range(83_010, 83_110, 10):  # - 1 hour
        serving(play, seconds, LATENCY_P95, 100.0)
    assert only_alert(play).state is AlertState.FIRING
    assert len(play.messages) == 1


def test_38_a_renamed_rule_closes_the_old_alert_and_starts_a_new_one():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    renamed = PSI.replace("id: feature_psi", "id: drifted")
    play.rules = rule_set(renamed)
    psi_day(play, 1, 0.3)
    states = {alert.rule: alert.state for alert in play.alerts.values()}
    assert states == {"feature_psi": AlertState.CLOSED, "drifted": AlertState.FIRING}
    [closed] = [e for e in play.events if e.kind == "alert_closed"]
    assert closed.detail["reason"] == "rule removed"


def test_38_a_changed_threshold_keeps_the_alert():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    before = only_alert(play)
    play.rules = rule_set(PSI.replace("above: 0.25", "above: 0.22"))
    psi_day(play, 1, 0.3)
    after = only_alert(play)
    assert (after.fingerprint, after.id, after.since) == (before.fingerprint, before.id, before.since)


def test_38_a_removed_rule_is_closed_and_not_called_recovered():
    play = rehearsal(PSI, ERRORS)
    psi_day(play, 0, 0.3)
    play.rules = rule_set(ERRORS)
    changed = serving(play, 90_000, ERROR_RATE, 0.0)
    assert kinds(changed) == [("slack", "resolved")]
    assert "did not recover" in changed.messages[0].content.effect


def test_38_a_feature_that_is_no_longer_monitored_is_closed():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    situation = replace(play.situation(day(1).end), judged=frozenset({"feature_psi"}), ignored=frozenset({"plan"}))
    changed = advance(situation, [], window=day(1), now=day(1).end)
    [alert] = changed.alerts
    assert alert.state is AlertState.CLOSED
    assert changed.events[0].detail["reason"] == "feature removed"


def test_39_two_numbers_with_the_same_labels_are_an_error_of_that_rule_alone():
    play = rehearsal(PSI, ERRORS)
    window = day(0)
    play.judge(
        [
            psi_of(window, "plan", 0.6),
            psi_of(window, "plan", 0.1),
            psi_of(window, "region", 0.6),
            Metric(ERROR_RATE, Subject(MODEL), window, 0.5, n_current=500),
        ],
        window,
    )
    found = {(alert.rule, alert.subject.feature or alert.subject.segment_value) for alert in play.alerts.values()}
    assert found == {("feature_psi", "region"), ("errors", ""), (RULE_ERROR, "feature_psi")}


@pytest.mark.slow
def test_40_too_many_series_are_one_meta_alert_and_the_last_state_is_kept():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    window = day(1)
    metrics = [psi_of(window, f"f{number}", 0.9) for number in range(100_000)]
    changed = play.judge([*metrics, psi_of(window, "plan", 0.1)], window)
    assert only_alert(play).state is AlertState.FIRING
    assert [alert.rule for alert in changed.alerts] == [RULE_ERROR]
    assert "100,001 series, the limit is 1,000" in changed.messages[0].content.title


def test_41_a_bad_file_is_an_error_with_its_line():
    with pytest.raises(ConfigError, match=r"rules\.yaml:2: there is no metric \"drift\.psy\"; did you mean"):
        rule_set("{id: x, metric: drift.psy, levels: {warning: {above: 1}}}")


def test_42_an_annotation_with_an_unknown_placeholder_is_said_as_it_stands():
    annotated = PSI.replace("levels", 'annotations: {summary: "{feature} at {value} {nonsense} {0} {"}, levels')
    play = rehearsal(annotated)
    [message] = psi_day(play, 0, 0.3).messages
    assert message.content.facts["Summary"] == "plan at 0.3 {nonsense} {0} {"


def test_42_a_message_that_cannot_be_worded_is_sent_in_plain_words_and_reported():
    play = rehearsal(ERRORS)
    window = live(0)
    broken = Metric(ERROR_RATE, Subject(MODEL), window, 0.5, n_current=500, details={"errors": {"count": 3}})
    changed = play.judge([broken], window)
    fired = [m for m in changed.messages if m.kind is MessageKind.FIRED and m.channel == "pagerduty"]
    assert [m.severity for m in fired] == [Severity.CRITICAL]
    assert fired[0].content.title == "50 % of requests fail"
    assert "could not be written (TypeError)" in fired[0].content.facts["Note"]
    [meta] = [a for a in changed.alerts if a.rule == RULE_ERROR]
    assert (meta.state, meta.subject.segment_value) == (AlertState.FIRING, "errors")
    assert "messages of rule errors come in plain words only (TypeError)" in changed.incidents[0].title
    for seconds in (10, 20, 30):
        serving(play, seconds, ERROR_RATE, 0.0)
    assert not play.open_incidents()
    assert play.messages[-1].kind is MessageKind.RESOLVED


def test_48_an_unacknowledged_critical_is_said_again_every_four_hours():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    for minutes in range(1, 9 * 60 + 1):
        play.let_pass(START + timedelta(minutes=minutes))
    reminders = [m.created_at - START for m in play.messages if m.kind is MessageKind.REMINDED and m.channel == "slack"]
    assert reminders == [timedelta(hours=4), timedelta(hours=8)]


def test_48_an_acknowledged_one_is_not():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Anna", now=START + timedelta(minutes=1))
    for minutes in range(2, 8 * 60):
        assert not play.let_pass(START + timedelta(minutes=minutes)).messages


def test_49_back_within_half_an_hour_is_the_same_incident():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    for seconds in (10, 20):
        serving(play, seconds, ERROR_RATE, 0.0)
    again = serving(play, 20 * 60, ERROR_RATE, 0.5)
    assert {kind for _, kind in kinds(again)} == {"reopened"}
    assert len(play.incidents) == 1
    [incident] = play.open_incidents()
    assert incident.reopened == 1
    assert only_alert(play).episode == 1


def test_49_back_after_half_an_hour_is_a_new_incident():
    play = rehearsal(ERRORS)
    serving(play, 0, ERROR_RATE, 0.5)
    for seconds in (10, 20):
        serving(play, seconds, ERROR_RATE, 0.0)
    serving(play, 31 * 60, ERROR_RATE, 0.5)
    assert len(play.incidents) == 2
    assert [i.state for i in play.incidents.values()] == [IncidentState.RESOLVED, IncidentState.OPEN]
    assert only_alert(play).episode == 2


def test_a_step_is_the_same_for_the_same_input():
    [rule] = rule_set(PSI).rules
    [verdict] = verdicts([psi_of(day(0), "plan", 0.3)], [rule])
    assert step(None, verdict, rule, window=day(0), now=START) == step(None, verdict, rule, window=day(0), now=START)


def test_31_a_silence_that_ends_on_an_alert_people_knew_says_it_still_fires():
    play = rehearsal(PSI)
    psi_day(play, 0, 0.3)
    now = day(0).end
    play.silences.append(Silence("sil_1", {"feature": "plan"}, now, now + timedelta(hours=1), "Anna", "known"))
    assert not play.let_pass(now + timedelta(minutes=30)).messages
    ended = play.let_pass(now + timedelta(hours=1))
    assert kinds(ended) == [("slack", "updated")]
    assert "still firing" in ended.messages[0].content.facts["Now"]
    assert not play.let_pass(now + timedelta(hours=2)).messages
