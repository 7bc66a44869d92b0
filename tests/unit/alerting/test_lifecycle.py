"""Properties of the life of an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_scenes import MODEL, PSI, day, psi_of, rule_set
from tiltmeter.alerting.identity import alert_id, fingerprint
from tiltmeter.alerting.lifecycle import close, replay, step
from tiltmeter.alerting.rules import covers, verdicts
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.rule import Hold
from tiltmeter.domain.severity import Severity

[RULE] = rule_set(PSI).rules
COUNTERS = {
    "value": None, "peak": None, "metric": None, "breaches": 0, "clears": 0, "transitions": 0.0,
    "held": timedelta(0), "breached_at": None, "updated_at": None,
}  # fmt: skip

values = st.lists(st.sampled_from([0.1, 0.22, 0.26, 0.48, 0.6, None]), max_size=40)
rules = st.builds(
    lambda windows, after: replace(RULE, hold=Hold(windows), resolve_after=after), st.integers(1, 3), st.integers(1, 3)
)


def live(found, rule):
    """Play values day by day; None is a day with too few rows."""
    alert, events, states = None, [], []
    for number, value in enumerate(found):
        window = day(number)
        rows = 5_000 if value is not None else 10
        [verdict] = verdicts([psi_of(window, "plan", value or 0.9, n_current=rows)], [rule])
        alert, more = step(alert, verdict, rule, window=window, now=window.end)
        events += more
        states.append(alert)
    return alert, events, states


@settings(max_examples=200, deadline=None)
@given(values, rules)
def test_replaying_the_events_rebuilds_the_state(found, rule):
    alert, events, _ = live(found, rule)
    if events:
        assert replay(events) == replace(alert, **COUNTERS)


@settings(max_examples=200, deadline=None)
@given(values, rules)
def test_events_are_numbered_without_gaps_and_never_without_a_change(found, rule):
    _, events, _ = live(found, rule)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


@settings(max_examples=200, deadline=None)
@given(values, rules)
def test_days_without_rows_never_end_or_start_an_alert(found, rule):
    _, _, states = live(found, rule)
    for value, before, after in zip(found[1:], states, states[1:], strict=False):
        if value is None:
            assert after.state is before.state
            assert after.severity is before.severity


@settings(max_examples=200, deadline=None)
@given(values, rules)
def test_firing_needs_as_many_breaches_in_a_row_as_the_rule_says(found, rule):
    _, events, _ = live(found, rule)
    judged = [(number, value) for number, value in enumerate(found) if value is not None]
    for event in events:
        if event.kind == "alert_fired":
            before = [v for n, v in judged if day(n).end <= event.window_end][-rule.hold.windows :]
            assert all(v > 0.25 for v in before)


def test_the_fingerprint_knows_rule_and_labels_alone():
    subject = Subject(MODEL, feature="plan")
    assert fingerprint("a", subject) == fingerprint("a", Subject(MODEL, "", "plan"))
    others = [
        fingerprint("b", subject),
        fingerprint("a", Subject(MODEL, feature="plan2")),
        fingerprint("a", Subject(MODEL, "14", "plan")),
        fingerprint("a", Subject(MODEL, feature="plan", segment_key="country", segment_value="DE")),
    ]
    assert len({fingerprint("a", subject), *others}) == 5
    assert len(fingerprint("a", subject)) == 32


def test_labels_cannot_be_shifted_into_one_another():
    one = fingerprint("a", Subject("m", segment_key="x", segment_value="yz"))
    two = fingerprint("a", Subject("m", segment_key="xy", segment_value="z"))
    assert one != two
    assert alert_id(one, 1) != alert_id(one, 2)


def test_levels_go_down_one_after_the_other_and_silently():
    _, events, _ = live([0.6, 0.3, 0.3, 0.1, 0.1], RULE)
    assert [(e.kind, e.severity) for e in events] == [
        ("alert_fired", Severity.CRITICAL),
        ("alert_eased", Severity.WARNING),
        ("alert_resolved", Severity.WARNING),
    ]


def test_keep_firing_holds_a_recovery_back():
    kept = replace(RULE, keep_firing=timedelta(days=4))
    _, events, _ = live([0.3, 0.1, 0.1, 0.1, 0.1], kept)
    assert [(e.kind, e.window_end) for e in events] == [
        ("alert_fired", day(0).end), ("alert_resolved", day(4).end),
    ]  # fmt: skip


def test_closing_is_not_recovering():
    alert, _, _ = live([0.3], RULE)
    closed, [event] = close(alert, "rule removed", at=day(1).end, now=day(1).end)
    assert (closed.state, event.kind) == (AlertState.CLOSED, "alert_closed")


def test_gates_hold_a_breach_back_and_keep_what_fires():
    window = day(0)
    [held] = verdicts([psi_of(window, "plan", 0.6, q_value=0.5)], [RULE])
    assert (held.severity, held.clear_of, held.judged) == (Severity.NONE, Severity.CRITICAL, True)
    assert "0.5" in held.why
    [ungated] = verdicts([psi_of(window, "plan", 0.6, q_value=None)], [RULE])
    assert ungated.severity is Severity.CRITICAL


def test_the_lower_bound_decides_where_the_rule_says_so():
    strict = replace(RULE, act_on="lower_bound")
    window = day(0)
    [verdict] = verdicts([psi_of(window, "plan", 0.6, lower=0.3)], [strict])
    assert verdict.severity is Severity.WARNING
    [without] = verdicts([psi_of(window, "plan", 0.6)], [strict])
    assert not without.judged


def test_both_sides_need_the_rows():
    window = day(0)
    for side in ("n_current", "n_reference"):
        [verdict] = verdicts([psi_of(window, "plan", 0.6, **{side: 199})], [RULE])
        assert (verdict.judged, verdict.why) == (False, "too_few_rows")


def test_a_rule_covers_its_labels_and_no_others():
    assert covers(RULE, Subject(MODEL, feature="plan"))
    assert covers(RULE, Subject(MODEL, "14", "plan"))
    assert not covers(RULE, Subject(MODEL))
    assert not covers(RULE, Subject(MODEL, feature="plan", segment_key="baseline", segment_value="last-month"))
    by_segment = replace(RULE, by=("feature", "country"))
    assert covers(by_segment, Subject(MODEL, feature="plan", segment_key="country", segment_value="DE"))
    assert not covers(by_segment, Subject(MODEL, feature="plan"))
    assert not covers(replace(RULE, models=("other",)), Subject(MODEL, feature="plan"))
