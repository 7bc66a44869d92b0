"""A history replayed: windows, lifecycle in windows, messages, bad input."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lead_frames import leads
from tiltmeter.api.backtest import at_grain
from tiltmeter.api.columns import roles_of
from tiltmeter.api.history import moment_of
from tiltmeter.api.replaying import History, backtest_history, backtests_beside
from tiltmeter.cli.backtest import show
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.errors import EmptyWindow, UsageError
from tiltmeter.domain.metric import Status
from tiltmeter.domain.rule import Hold, Limit, Rule
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 9, 1, tzinfo=UTC)


def day_table(day, rows=600, **shift):
    table = leads(rows, seed=100 + day, **shift).drop_columns(["seen_at"])
    micros = int((START + timedelta(days=day)).timestamp() * 1e6) + np.arange(rows) * (86_400_000_000 // rows)
    return table.append_column("at", pa.array(micros, pa.timestamp("us")))


def history_of(days):
    """Ten days of baseline, then the given days: None is a day without rows, else keywords of `leads`."""
    parts = [day_table(day) for day in range(10)]
    parts += [day_table(10 + i, **shift) for i, shift in enumerate(days) if shift is not None]
    return pa.concat_tables(parts)


def replayed(days, *, rules=None, grain=Grain.DAY, zone=UTC_ZONE, until=START + timedelta(days=10), **roles):
    history = History.of(history_of(days), time="at", until=until)
    return backtest_history(
        history, roles_of(**{"score": "score", "label": "bought", "time": "at"} | roles), rules or load_rules(None),
        grain=grain, zone=zone,
    )  # fmt: skip


QUIET, MOVED = {}, {"age": 55.0}


def test_an_alert_lasts_from_its_first_window_to_the_second_clear_one():
    found = replayed([QUIET, MOVED, MOVED, QUIET, QUIET, QUIET])
    alert = next(one for one in found.episodes if (one.rule, one.feature) == ("feature_psi", "age"))
    assert alert.severity is Severity.CRITICAL
    assert alert.since == START + timedelta(days=11)
    assert alert.until == START + timedelta(days=15)
    assert alert.windows == 2
    assert "median" in alert.effect


def test_a_notebook_shows_the_sentence_and_the_pictures_instead_of_every_number():
    found = replayed([QUIET, MOVED, MOVED])
    sentence = "would have fired"
    assert sentence in repr(found)
    assert len(repr(found)) < 200
    shown = found._repr_html_()
    assert sentence in shown
    assert "PSI by feature and window" in shown
    assert "<html" not in shown


def test_quiet_days_fire_nothing():
    found = replayed([QUIET] * 5)
    assert [one for one in found.episodes if one.severity >= Severity.WARNING] == []
    assert found.messages == 0
    assert found.judged == 5


def test_days_without_rows_and_with_few_are_told_apart_and_neither_fires_nor_clears():
    found = replayed([MOVED, None, {"rows": 50}, MOVED, QUIET])
    assert [window.status for window in found.windows] == [
        Status.OK, Status.NO_DATA, Status.TOO_FEW_ROWS, Status.OK, Status.OK,
    ]  # fmt: skip
    ages = [one for one in found.episodes if (one.rule, one.feature) == ("feature_psi", "age")]
    assert [(one.since, one.until, one.windows) for one in ages] == [(START + timedelta(days=10), None, 2)]


def test_one_cause_is_one_incident_and_few_messages():
    found = replayed([QUIET, MOVED, QUIET, QUIET, QUIET])
    loud = [one for one in found.episodes if one.severity >= Severity.WARNING]
    assert len({one.incident for one in loud}) == 1
    assert len(loud) >= 2
    assert 1 <= found.messages <= 3
    assert found.messages_per_week == pytest.approx(found.messages / (5 / 7))


def test_for_counts_windows():
    rule = Rule("patient", "drift.psi", {Severity.WARNING: Limit(above=0.25)}, by=("feature",), hold=Hold(windows=3))
    rules = load_rules(None)
    patient = type(rules)(**{**{n: getattr(rules, n) for n in rules.__slots__}, "rules": (rule,)})
    assert replayed([MOVED, MOVED, QUIET, QUIET], rules=patient).episodes == ()
    fired = replayed([MOVED, MOVED, MOVED, QUIET], rules=patient).episodes
    assert [(one.feature, one.since) for one in fired if one.feature == "age"] == [("age", START + timedelta(days=10))]


@pytest.mark.parametrize(
    ("hold", "grain", "windows"),
    [(timedelta(hours=36), Grain.DAY, 2), (timedelta(minutes=1), Grain.HOUR, 1), (timedelta(days=14), Grain.WEEK, 2)],
)
def test_a_duration_becomes_so_many_windows(hold, grain, windows):
    window = Window(START, START + timedelta(hours=1), grain)
    rule = Rule("r", "drift.psi", {Severity.WARNING: Limit(above=1)}, hold=Hold(None, hold), over=timedelta(days=7))
    judged = at_grain(rule, window)
    assert judged.hold == Hold(windows=windows)
    assert (judged.every, judged.over) == (grain, None)


def test_rules_about_live_service_say_nothing_in_a_history():
    found = replayed([QUIET])
    assert {rule.metric.partition(".")[0] for rule in found.rules} == {"drift", "features"}
    assert "features.freshness" not in {rule.metric for rule in found.rules}


def test_conversion_can_be_judged_where_there_is_a_label():
    rule = Rule("conversion", "outcomes.conversion_rate", {Severity.WARNING: Limit(below=0.5)})
    rules = load_rules(None)
    asked = type(rules)(**{**{n: getattr(rules, n) for n in rules.__slots__}, "rules": (rule,)})
    assert [one.rule for one in replayed([QUIET], rules=asked).episodes] == ["conversion"]
    assert replayed([QUIET], rules=asked, label=None).episodes == ()


def test_a_rule_on_the_window_before_fires_when_a_feature_steps_up_and_not_while_it_stays():
    rule = Rule(
        "jump", "features.mean_step", {Severity.WARNING: Limit(above=1.0)}, by=("feature",), p_below=0.001,
        resolve_after=1,
    )  # fmt: skip
    rules = load_rules(None)
    asked = type(rules)(**{**{n: getattr(rules, n) for n in rules.__slots__}, "rules": (rule,)})
    found = replayed([QUIET, MOVED, MOVED, MOVED, QUIET], rules=asked).episodes
    assert [(one.feature, one.since, one.windows) for one in found] == [("age", START + timedelta(days=11), 1)]
    assert found[0].effect.startswith("mean 4")
    assert replayed([QUIET, None, MOVED], rules=asked).episodes == ()  # the day before holds no rows


def test_windows_follow_the_calendar_of_the_zone():
    berlin = ZoneInfo("Europe/Berlin")
    found = replayed([QUIET, QUIET], zone=berlin, until=moment_of("2026-09-11", berlin))
    assert found.windows[0].window.start == datetime(2026, 9, 10, 22, tzinfo=UTC)
    assert found.windows[0].rows == 600


def test_the_baseline_ends_before_the_moment_and_no_row_is_counted_twice():
    found = replayed([QUIET, QUIET], until=START + timedelta(days=10, hours=12))
    assert found.reference.profile.rows == 6_300
    assert sum(window.rows for window in found.windows) == 900


def test_the_document_has_the_fields_of_the_interface():
    document = replayed([MOVED, None, QUIET]).to_dict()
    assert list(document)[:4] == ["schema", "windows", "alerts", "summary"]
    assert document["schema"] == "tiltmeter.backtest/1"
    first, empty, _ = document["windows"]
    assert list(first)[:7] == ["start", "end", "rows", "status", "features", "overall", "outcomes"]
    assert list(first["features"]["age"])[:3] == ["psi", "severity", "status"]
    assert first["features"]["age"]["severity"] == "critical"
    assert first["outcomes"]["conversion_rate"] == pytest.approx(0.1, abs=0.05)
    assert (empty["status"], empty["rows"], empty["features"]) == ("no_data", 0, {})
    assert list(document["alerts"][0])[:6] == ["rule", "severity", "feature", "since", "until", "windows"]
    summary = document["summary"]
    assert (summary["windows"], summary["judged"]) == (3, 2)
    assert sum(summary["alerts"].values()) == len(document["alerts"])


def test_exactly_one_baseline_is_needed():
    for arguments in ({}, {"until": START, "baseline": "x.csv"}):
        with pytest.raises(UsageError, match="exactly one"):
            History.of(history_of([]), time="at", **arguments)


def test_a_wrong_time_column_is_answered_with_the_right_one():
    with pytest.raises(UsageError, match='did you mean "at"'):
        History.of(history_of([]), time="att", until=START)


def test_a_baseline_before_the_first_row_is_refused():
    with pytest.raises(EmptyWindow, match="no row lies before 2026-09-01"):
        replayed([QUIET], until=START)


def test_nothing_after_the_baseline_is_refused():
    with pytest.raises(EmptyWindow, match="lies at or after 2026-09-11 00:00 UTC; name an earlier"):
        replayed([])


def test_a_stray_time_does_not_make_millions_of_windows():
    stray = history_of([QUIET])
    late = stray.slice(0, 1).set_column(
        stray.schema.get_field_index("at"), "at", pa.array([32_503_680_000_000_000], pa.timestamp("us"))
    )
    history = History.of(pa.concat_tables([stray, late]), time="at", until=START + timedelta(days=10))
    with pytest.raises(UsageError, match="more than 50,000 windows"):
        backtest_history(history, roles_of(time="at"), load_rules(None), grain=Grain.HOUR, zone=UTC_ZONE)


def test_a_history_in_a_file_is_read_as_well(tmp_path):
    pq.write_table(history_of([MOVED]), tmp_path / "h.parquet")
    history = History.of(str(tmp_path / "h.parquet"), time="at", until=START + timedelta(days=10))
    found = backtest_history(history, roles_of(time="at"), load_rules(None), grain=Grain.DAY, zone=UTC_ZONE)
    assert found.windows[0].features["age"].severity is Severity.CRITICAL


def test_two_rules_files_stand_beside_each_other(capsys):
    history = History.of(history_of([QUIET, MOVED, MOVED, QUIET]), time="at", until=START + timedelta(days=10))
    roles = roles_of(score="score", label="bought", time="at")
    usual = load_rules(None)
    only_missing = replace(usual, rules=tuple(rule for rule in usual.rules if rule.id == "missing"))
    found = backtests_beside(history, roles, [usual, only_missing], grain=Grain.DAY, zone=UTC_ZONE)
    alone = backtest_history(history, roles, usual, grain=Grain.DAY, zone=UTC_ZONE)
    assert found[0].to_dict() == alone.to_dict()
    assert found[1].episodes == ()
    show([("usual.yaml", found[0]), ("missing.yaml", found[1])], html=None, as_json=False)
    said = capsys.readouterr().out
    assert "only usual.yaml: feature_psi age, out_of_range age, overall_psi" in said
    assert "only missing.yaml" not in said
    show([("usual.yaml", found[0]), ("missing.yaml", found[1])], html=None, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "tiltmeter.rules-backtest/1"
    assert document["missing.yaml"]["summary"]["alerts"] == {"info": 0, "warning": 0, "critical": 0}
