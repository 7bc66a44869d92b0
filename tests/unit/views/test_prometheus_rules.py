"""Prometheus rules carry the limits of the rules file and fire just beyond them; promtool is the judge."""

from __future__ import annotations

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
