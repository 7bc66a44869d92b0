"""What messages say at three in the morning."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from alert_scenes import ERRORS, MODEL, PSI, START, day, live, psi_of, rehearsal
from tiltmeter.alerting.situation import Change
from tiltmeter.channels.wording import plain_text
from tiltmeter.domain.metric import Metric, Subject

MISSING = "{id: missing, metric: features.missing_change, by: [feature], levels: {warning: {above: 0.05}}}"
SCHEMA = "{id: schema, metric: features.schema_changes, min_rows: 0, levels: {critical: {above: 0}}}"
JOB = "{id: job_failed, metric: batch.failed, by: [job], min_rows: 0, levels: {critical: {above: 0}}}"
SCORE = "{id: overall_psi, metric: drift.overall_psi, levels: {warning: {above: 0.25}, critical: {above: 0.5}}}"


def number(name, window, value, feature="", *, segment=("", ""), **details):
    return Metric(name, Subject(MODEL, "", feature, *segment), window, value, n_current=6_904, n_reference=48_112,
                  details=details)  # fmt: skip


def first_content(play, metrics, window, now=None):
    return play.judge(metrics, window, now=now).messages[0].content


def test_a_drift_message_leads_with_the_effect_then_psi():
    play = rehearsal(PSI, SCORE, zone=ZoneInfo("Europe/Berlin"))
    window = day(21)
    content = first_content(
        play,
        [
            psi_of(window, "lead_source", 0.61, details={"effect": "web-form 18 points up"}),
            number("drift.overall_psi", window, 0.3, effect="scores 0.07 lower (mean 0.21)", of="score"),
        ],
        window,
        window.end + timedelta(hours=5),
    )
    assert content.effect == "lead_source: web-form 18 points up; scores 0.07 lower (mean 0.21)"
    assert content.title == "lead_source drifted, PSI 0.61"
    assert content.facts["Since"].startswith("Mon 23 Nov 2026 01:00 CET (5 h ago)")
    assert content.facts["How bad"] == "PSI 0.61, limit > 0.50; 5,000 rows against 50,000 of the baseline"
    assert content.rows[0].change == "web-form 18 points up"


def test_an_error_message_leads_with_route_exception_and_requests_hit():
    play = rehearsal(ERRORS, zone=ZoneInfo("Europe/Berlin"))
    window = live(0)
    details = {
        "top_route": "POST /score", "errors": 412, "requests": 12_800, "exception": "ValueError",
        "first_seen": "2026-10-31T22:10:00+00:00", "change": "version 15 since 22:08",
    }  # fmt: skip
    content = first_content(play, [number("serving.error_rate", window, 0.0322, **details)], window)
    assert content.title == "3.2 % of requests fail"
    assert content.effect == "POST /score fails with ValueError: 412 of 12,800 requests"
    assert content.facts["Since"].startswith("Sat 31 Oct 2026 23:10 CET")
    assert content.facts["Likely cause"] == "version 15 since 22:08"
    assert content.facts["Who is hit"] == "callers of POST /score"
    assert content.links["Service"] == "https://tiltmeter.example.com/service"
    assert content.facts["Next"] == "goes to level 2 (slack, email) at 01:15 CET if nobody acknowledges"


def test_links_carry_hostile_names_escaped():
    play = rehearsal(PSI)
    content = first_content(play, [psi_of(day(0), "a&b=<c>\r\nd", 0.6)], day(0))
    assert "https://tiltmeter.example.com/feature?f=a%26b%3D%3Cc%3E%0D%0Ad" in content.links.values()
    assert content.title == "a&b=<c>··d drifted, PSI 0.60"
    assert content.links["Incident"].startswith("https://tiltmeter.example.com/incident?id=inc_")


def test_without_a_public_address_there_are_no_links():
    play = rehearsal(PSI)
    play.public_url = ""
    assert first_content(play, [psi_of(day(0), "plan", 0.6)], day(0)).links == {}


def test_the_only_version_of_a_window_makes_no_second_finding():
    play = rehearsal(PSI)
    window = day(0)
    whole = psi_of(window, "plan", 0.6)
    versions = [replace(whole, subject=Subject(MODEL, version, "plan")) for version in ("14", "15")]
    changed = play.judge([whole, versions[0]], window)
    assert len(changed.incidents) == 1
    [content] = {message.content.title: message.content for message in changed.messages}.values()
    assert content.title == "plan drifted, PSI 0.60"
    assert [row.subject for row in content.rows] == ["plan"]
    assert "What" not in content.facts
    apart = rehearsal(PSI)  # versions that differ are told apart where the whole window is fine
    content = apart.judge([psi_of(window, "plan", 0.1), versions[1]], window).messages[0].content
    assert [row.subject for row in content.rows] == ["plan (version 15)"]
    assert content.facts["Who is hit"] == "version 15"


def test_long_names_are_cut():
    play = rehearsal(PSI)
    content = first_content(play, [psi_of(day(0), "x" * 5_000, 0.6)], day(0))
    assert len(content.title) < 120


def test_causes_are_named_by_their_strength():
    play = rehearsal(PSI, MISSING)
    window = day(0)
    content = first_content(
        play, [psi_of(window, "phone", 0.6), number("features.missing_change", window, 0.3, "phone")], window
    )
    assert content.facts["Likely cause"] == "phone stopped being filled: 30 points more missing"
    play = rehearsal(PSI, SCHEMA)
    changed = number("features.schema_changes", window, 1.0, features=["phone"])
    content = first_content(play, [psi_of(window, "plan", 0.6), changed], window)
    assert content.facts["Likely cause"] == "schema change upstream: phone"
    assert content.title == "1 feature gone or retyped: phone; plan drifted, PSI 0.60"


def test_service_and_job_signals_of_one_moment_are_one_incident():
    play = rehearsal(ERRORS, JOB)
    window = live(0)
    failed = number("batch.failed", window, 1.0, segment=("job", "nightly"), message="disk full")
    changed = play.judge([number("serving.error_rate", window, 0.5), failed], window)
    assert len(changed.incidents) == 1
    content = changed.messages[0].content
    assert content.title == "50 % of requests fail; job nightly failed"
    assert content.facts["Likely cause"] == "job nightly failed: disk full"


def test_a_deploy_shortly_before_is_a_likely_cause():
    from tiltmeter.alerting.advance import advance
    from tiltmeter.alerting.rules import verdicts

    play = rehearsal(PSI)
    window = day(0)
    deploys = (
        Change(START - timedelta(days=3), "version 13"),
        Change(START + timedelta(hours=3), "version 14 since 03:00"),
    )
    situation = replace(play.situation(window.end), changes=deploys)
    found = verdicts([psi_of(window, "plan", 0.6)], play.rules.rules)
    [incident] = advance(situation, found, window=window, now=window.end).incidents
    assert incident.cause == "version 14 since 03:00"


def test_a_recovery_says_how_long_and_how_bad_it_was():
    play = rehearsal(PSI)
    for position, value in enumerate((0.3, 0.63, 0.1, 0.1, 0.1, 0.1)):
        play.judge([psi_of(day(position), "plan", value)], day(position))
    content = play.messages[-1].content
    assert content.effect == "Recovered after 3 d, worst plan PSI 0.63."
    assert content.title == "plan drifted, PSI 0.63"
    assert content.actions == ()


def test_every_kind_fits_forty_lines_of_plain_text():
    play = rehearsal(PSI, MISSING, SCORE)
    metrics = [
        psi_of(day(0), f"feature_{'x' * 70}_{i}", 0.3 + i / 100, details={"effect": "y" * 200}) for i in range(40)
    ]
    play.judge(metrics, day(0))
    [incident] = play.open_incidents()
    play.acknowledge(incident.id, by="Anna", note="on it", now=day(0).end)
    play.let_pass(day(0).end + timedelta(hours=9))
    assert {m.kind.value for m in play.messages} >= {"fired", "acknowledged", "reminded"}
    for message in play.messages:
        lines = plain_text(message).splitlines()
        assert len(lines) <= 40
