"""Prometheus rules carry the limits of the rules file and fire just beyond them; promtool is the judge."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tiltmeter.config.rules import load_rules
from tiltmeter.views.prometheus import alert_rules_yaml

REPOSITORY = Path(__file__).parents[3]
LABELS = 'model="lead-scoring",model_version="14",route="POST /score"'
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)")


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_limits_spans_and_holds_come_from_the_rules_file():
    rules = {rule["alert"]: rule for rule in yaml.safe_load(alert_rules_yaml(load_rules(None)))["groups"][0]["rules"]}
    slow, failing = rules["Tiltmeter_latency_p95_warning"], rules["Tiltmeter_error_rate_critical"]
    assert (slow["for"], slow["labels"]["severity"]) == ("1m", "warning")
    assert 'le="0.5"' in slow["expr"]
    assert (failing["for"], failing["labels"]["severity"]) == ("1m", "critical")
    assert "> 0.01" in failing["expr"]
    assert failing["annotations"]["summary"].endswith("is above 1 %")
    assert {"TiltmeterDown", "TiltmeterDeadMansSwitch", "Tiltmeter_monitor_lag_critical"} <= set(rules)


@needs_promtool
@pytest.mark.parametrize("models", ["", ', models: [lead-scoring, "a.b|c\\"d"]'])
def test_promtool_accepts_the_rules(tmp_path, models):
    rules = tmp_path / "rules.yaml"
    text = (REPOSITORY / "src/tiltmeter/config/default_rules.yaml").read_text(encoding="utf-8")
    rules.write_text(text.replace("{id: error_rate,", '{id: error_rate, runbook: "https://example.com"' + models + ","))
    path = tmp_path / "rules.yml"
    path.write_text(alert_rules_yaml(load_rules(rules)), encoding="utf-8")
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    ("failed", "within", "fires"),
    [
        (11, 1000, {"Tiltmeter_error_rate_critical"}),
        (10, 1000, set()),  # exactly 1 % is not above 1 %
        (0, 949, {"Tiltmeter_latency_p95_warning"}),
        (0, 950, set()),  # exactly 95 % within 500 ms: P95 is not above 500 ms
    ],
)
def test_alerts_fire_strictly_beyond_the_limit(tmp_path, failed, within, fires):
    """1,000 requests a minute, `failed` of them 5xx, `within` of them answered within 500 ms."""
    (tmp_path / "rules.yml").write_text(alert_rules_yaml(load_rules(None)), encoding="utf-8")
    series = [
        {"series": f'tiltmeter_http_requests_total{{{LABELS},code_class="2xx"}}', "values": f"0+{1000 - failed}x30"},
        {"series": f'tiltmeter_http_requests_total{{{LABELS},code_class="5xx"}}', "values": f"0+{failed}x30"},
        {"series": f"tiltmeter_http_request_duration_seconds_count{{{LABELS}}}", "values": "0+1000x30"},
    ]
    for le, within_it in (("0.2", 950), ("0.5", within), ("+Inf", 1000)):
        name = f'tiltmeter_http_request_duration_seconds_bucket{{{LABELS},le="{le}"}}'
        series.append({"series": name, "values": f"0+{within_it}x30"})
    asked = [
        {
            "eval_time": "20m",
            "alertname": name,
            "exp_alerts": [{"exp_labels": _expected(name)}] if name in fires else [],
        }
        for name in ("Tiltmeter_error_rate_critical", "Tiltmeter_latency_p95_warning")
    ]
    for one in asked:
        for alert in one["exp_alerts"]:
            alert["exp_annotations"] = _annotations(one["alertname"])
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": asked}],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(name):
    rule, severity = name.removeprefix("Tiltmeter_").rsplit("_", 1)
    return {"model": "lead-scoring", "model_version": "14", "severity": severity, "rule": rule}


def _annotations(name):
    if name == "Tiltmeter_error_rate_critical":
        return {
            "summary": "Error rate of lead-scoring 14 is above 1 %",
            "description": "Share of requests that failed with 5xx or an unhandled exception.",
        }
    return {
        "summary": "P95 latency of lead-scoring 14 is above 500 ms",
        "description": "95 of 100 requests were answered within it.",
    }


ONE_RULE = """version: 1
rules:
  - {{id: slow, metric: {metric}, min_rows: 10, {more}, levels: {{critical: {{above: {above}}}}}}}
"""


def generated(tmp_path, *, metric="serving.latency_ms.p95", more="every: 10s, over: 5m", above=500):
    path = tmp_path / "tiltmeter-rules.yaml"
    path.write_text(ONE_RULE.format(metric=metric, more=more, above=above), encoding="utf-8")
    return alert_rules_yaml(load_rules(path))


def firing(tmp_path, text, series, asked):
    """Hold the rules against series of one minute's step; `asked`: (minutes, alert, labels of those that fire)."""
    (tmp_path / "rules.yml").write_text(text, encoding="utf-8")
    tests = [
        {"eval_time": f"{at}m", "alertname": name, "exp_alerts": [{"exp_labels": labels} for labels in fires]}
        for at, name, fires in asked
    ]
    notes = {rule["alert"]: rule["annotations"] for rule in yaml.safe_load(text)["groups"][0]["rules"]}
    for test in tests:
        for alert in test["exp_alerts"]:
            labels = alert["exp_labels"]
            alert["exp_annotations"] = {key: _filled(said, labels) for key, said in notes[test["alertname"]].items()}
    written = {
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m", "alert_rule_test": tests,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
        }],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(written), encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def _filled(said, labels):
    for name, value in labels.items():
        said = said.replace(f"{{{{ $labels.{name} }}}}", value)
    return said


@needs_promtool
@pytest.mark.parametrize(("limit", "edge"), [(1000, "1"), (1000, "1.0"), (5000, "5"), (5000, "5.0"), (2500, "2.5")])
def test_whole_seconds_are_found_as_prometheus_2_and_3_write_them(tmp_path, limit, edge):
    within = {edge: 940, "10" if edge != "10" else "11": 1000, "+Inf": 1000}
    name = "tiltmeter_http_request_duration_seconds"
    series = {f'{name}_bucket{{{LABELS},le="{le}"}}': f"0+{count}x30" for le, count in within.items()}
    series[f"{name}_count{{{LABELS}}}"] = "0+1000x30"
    labels = {"model": "lead-scoring", "model_version": "14", "severity": "critical", "rule": "slow"}
    firing(tmp_path, generated(tmp_path, above=limit), series, [(20, "Tiltmeter_slow_critical", [labels])])


@pytest.mark.parametrize(
    ("more", "span"),
    [
        ("every: hour", "1h"),
        ("every: day", "1d"),
        ("every: week", "7d"),
        ("every: 1m", "1m"),
        ("every: 1m, over: 30m", "30m"),
    ],
)
@pytest.mark.parametrize("metric", ["serving.latency_ms.p95", "serving.error_rate"])
def test_a_rule_is_judged_over_the_span_that_tiltmeter_judges(tmp_path, metric, more, span):
    above = 0.01 if metric == "serving.error_rate" else 500
    text = generated(tmp_path, metric=metric, more=more, above=above)
    expression = yaml.safe_load(text)["groups"][0]["rules"][0]["expr"]
    assert set(re.findall(r"\[(\w+)\]", expression)) == {span}


LAG = 'tiltmeter_monitor_window_lag_seconds{model="m",model_version="",window="live"}'
LAGGING = {"severity": "critical", "rule": "monitor_lag"}
NOT_JUDGING = {"model": "m", "severity": "critical"}


@needs_promtool
@pytest.mark.parametrize(
    ("lag", "lagging", "not_judging"),
    [
        ("0x60", [], []),  # a weekend without rows: every window is judged in time, with nothing in it
        ("0x20 21600x2 0x37", [], []),  # rows came after six hours: for a moment their window is late
        ("5400x60", [], []),  # exactly the limit
        ("5401x60", [LAGGING], []),
        ("10800x60", [LAGGING], []),
        ("10801x60", [LAGGING], [NOT_JUDGING]),
        ("0+60x400", [LAGGING], [NOT_JUDGING]),  # it hangs
    ],
)
def test_a_monitor_that_lags_is_reported_and_one_that_waits_for_rows_is_not(tmp_path, lag, lagging, not_judging):
    at = 300 if "+" in lag else 40
    stale = 'tiltmeter_evaluation_timestamp_seconds{model="m",model_version="",window="hour"}'
    firing(
        tmp_path, alert_rules_yaml(load_rules(None)), {LAG: lag, stale: "-260000x400", 'up{job="tiltmeter"}': "1x400"},
        [
            (at, "Tiltmeter_monitor_lag_critical", lagging),
            (at, "TiltmeterNotJudging", not_judging),
            (22, "TiltmeterNotJudging", not_judging if "+" not in lag else []),
            (22, "Tiltmeter_monitor_lag_critical", lagging if "+" not in lag else []),
        ],
    )  # fmt: skip


def test_the_limit_of_the_lag_follows_the_rule(tmp_path):
    text = generated(tmp_path, metric="monitor.window_lag", more="every: 1m", above=6 * 3600)
    rules = {rule["alert"]: rule for rule in yaml.safe_load(text)["groups"][0]["rules"]}
    assert rules["TiltmeterNotJudging"]["expr"].endswith("> 43200")
    assert rules["TiltmeterNotJudging"]["annotations"]["summary"].endswith("more than 12h")


@needs_promtool
@pytest.mark.parametrize(
    ("series", "fires"),
    [
        ({'up{job="tiltmeter",instance="a"}': "1x60"}, []),
        (
            {'up{job="tiltmeter",instance="a"}': "1x29 0x30"},
            [{"job": "tiltmeter", "instance": "a", "severity": "critical"}],
        ),
        ({'up{job="node",instance="a"}': "1x60"}, [{"job": "tiltmeter", "severity": "critical"}]),
        ({'up{job="tiltmeter",instance="a"}': "1x38 0x30"}, []),  # a restart takes less than two minutes
    ],
)
def test_a_tiltmeter_that_does_not_answer_is_down_after_two_minutes(tmp_path, series, fires):
    firing(tmp_path, alert_rules_yaml(load_rules(None)), series, [(40, "TiltmeterDown", fires)])


@needs_promtool
@pytest.mark.parametrize(("dead", "fires"), [("0x60", False), ("0x30 1x30", True), ("2x30 0x30", False)])
def test_messages_that_were_given_up_are_reported_by_channel(tmp_path, dead, fires):
    series = {
        'tiltmeter_notifications_dead{channel="slack"}': dead,
        'tiltmeter_notifications_dead{channel="mail"}': "0x60",
    }
    expected = [{"channel": "slack", "severity": "warning"}] if fires else []
    firing(tmp_path, alert_rules_yaml(load_rules(None)), series, [(40, "TiltmeterMessagesUndelivered", expected)])


@needs_promtool
def test_p95_by_route_is_recorded_and_an_idle_route_has_none(tmp_path):
    name = "tiltmeter_http_request_duration_seconds"
    (tmp_path / "rules.yml").write_text(alert_rules_yaml(load_rules(None)), encoding="utf-8")
    series = []
    for route, step in (("POST /score", 100), ("POST /idle", 0)):
        labels = f'model="m",model_version="14",route="{route}"'
        for le, share in (("0.1", 0.9), ("0.2", 1.0), ("+Inf", 1.0)):
            values = f"0+{step * share:g}x30"
            series.append({"series": f'{name}_bucket{{{labels},le="{le}"}}', "values": values})
        series.append({"series": f"{name}_count{{{labels}}}", "values": f"0+{step}x30"})
    recorded = f"route:{name}:p95_5m"
    # 90 of 100 within 0.1 s, all within 0.2 s: halfway between the two.
    sample = {"labels": '{model="m",route="POST /score"}', "value": 0.15}
    asked = {"expr": f"round({recorded}, 0.001)", "eval_time": "20m", "exp_samples": [sample]}
    test = {
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [asked]}],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = promtool("test", "rules", str(tmp_path / "test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
