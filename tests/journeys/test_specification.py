"""Every arrow of the specification's diagram is walked by a named test; most of them here, on one small company.

Real requests go through a real application and its spool, a real batch job writes its parts, the shipper brings both
into the tables; the default rules judge; Slack, a mail server and PagerDuty on this machine receive.
"""

from __future__ import annotations

import ast
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.csv
import pytest
import streamlit as st
from fastapi import FastAPI
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

import tiltmeter
from tables import FakeClock, prediction_rows
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.outcomes import record_outcome
from tiltmeter.capture.spool import SpoolWriter
from tiltmeter.config.load import load_settings
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.monitors.serving import live_traffic, live_usual_traffic
from tiltmeter.monitors.traffic import Capacity
from tiltmeter.pipeline import Judged, conclude, judge, observe
from tiltmeter.ports import MetricQuery
from tiltmeter.service.sender import Sender
from tiltmeter.store.traffic import TrafficCounts, traffic_table
from tiltmeter.testing.receivers import PagerDutyReceiver, SlackReceiver, SmtpReceiver
from tiltmeter.views.dashboard.frame import PAGES_FOLDER
from tiltmeter.wiring import build_world, stored_log

HERE = Path(__file__).parent
MODEL = "lead-scoring"
REQUESTS, BATCH, TRAINING, OLD = 400, 300, 3_000, 300

WALKED = {
    "API_LOGS --> PRED_LOGS": "test_requests_become_rows_with_time_inputs_and_outputs",
    "BATCH_LOGS --> PRED_LOGS": "test_batch_rows_stand_in_the_same_table_and_the_run_beside_them",
    "PRED_LOGS --> PSI": "test_the_log_gives_every_drift_statistic",
    "PRED_LOGS --> KL": "test_the_log_gives_every_drift_statistic",
    "PRED_LOGS --> STATS": "test_the_log_gives_every_drift_statistic",
    "PRED_LOGS --> FEAT_STATS": "test_the_log_gives_every_feature_statistic",
    "PRED_LOGS --> DIST_COMP": "test_the_log_gives_baseline_and_current_side_by_side",
    "PRED_LOGS --> OUTLIERS": "test_the_log_gives_every_feature_statistic",
    "API_LOGS --> LATENCY": "test_requests_give_latency_and_throughput",
    "API_LOGS --> THROUGHPUT": "test_requests_give_latency_and_throughput",
    "PRED_LOGS --> ACCURACY": "test_outcomes_give_conversion_precision_recall_and_revenue",
    "PSI --> RULES": "test_rules_fire_on_what_was_measured",
    "KL --> RULES": "test_rules_fire_on_what_was_measured",
    "STATS --> RULES": "test_rules_fire_on_what_was_measured",
    "FEAT_STATS --> RULES": "test_rules_fire_on_what_was_measured",
    "ACCURACY --> RULES": "test_rules_fire_on_what_was_measured",
    "LATENCY --> RULES": "test_slow_and_missing_requests_fire",
    "THROUGHPUT --> RULES": "test_slow_and_missing_requests_fire",
    "RULES --> SLACK": "test_warnings_reach_slack_and_criticals_everybody",
    "RULES --> EMAIL": "test_warnings_reach_slack_and_criticals_everybody",
    "RULES --> PAGERDUTY": "test_warnings_reach_slack_and_criticals_everybody",
    "PRED_LOGS --> DASH": "test_the_dashboard_shows_what_the_log_holds",
    "LATENCY --> GRAFANA": "test_prometheus.py::test_every_panel_query_gives_finite_numbers",
    "THROUGHPUT --> GRAFANA": "test_prometheus.py::test_every_panel_query_gives_finite_numbers",
    "FEAT_STATS --> MLFLOW_UI": "test_mlflow.py::test_a_summary_brings_table_states_and_report",
}


def test_every_arrow_has_a_test_that_exists():
    arrows = (HERE / "specification.mmd").read_text(encoding="utf-8").splitlines()
    assert sorted(arrows) == sorted(WALKED)
    for place in WALKED.values():
        file, _, name = place.rpartition("::")
        tree = ast.parse((HERE / (file or Path(__file__).name)).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, place


CONFIGURATION = """
version: 1
home: .
timezone: UTC
models:
  {model}:
    routes: {{"POST /score": {{features: "$", entity_id: lead_id, prediction: response.score}}}}
    baselines: {{training: {{data: training.csv}}}}
    features: {{ignore: [lead_id]}}
    outcomes: {{mature_after: 2d, attribution: 30d, currency: EUR}}
channels:
  slack-ml-alerts: {{kind: slack, channel: "#ml-alerts", token: "file:token", api_url: "{slack}"}}
  email-ml-team: {{kind: smtp, to: [ml@example.com], from: t@example.com, url: "file:mail", tls: none}}
  pagerduty-ml: {{kind: pagerduty, routing_key: "file:key", api_url: "{pagerduty}"}}
"""
CONVERSION = "  - {id: conversion_low, metric: outcomes.conversion_rate, every: day, levels: {warning: {below: 0.5}}}\n"


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """A company whose day went wrong, judged; nothing is sent yet."""
    home = tmp_path_factory.mktemp("specification")
    with SlackReceiver() as slack, SmtpReceiver() as mail, PagerDutyReceiver() as pager:
        configuration = _configure(home, slack, mail, pager)
        now = datetime.now(UTC)
        clock = FakeClock(now)
        log = stored_log(configuration, clock, configuration.models)
        shipper = Shipper(home / "spool", log, configuration.models, clock)
        _requests(home)
        _nightly(home, now)
        log.append("predictions", prediction_rows(OLD, first=10_000, at=now - timedelta(days=4)))
        _outcomes(home, now - timedelta(days=3))
        shipper.ship_once(flush=True)
        world = build_world(configuration, clock=clock, stored=log)
        model = world.models[MODEL]
        observe(model, world)
        day = window_at(now, Grain.DAY, world.zone)
        clock.at = day.end
        for grain, names in ((Grain.HOUR, ("features",)), (Grain.DAY, ("drift", "outcomes"))):
            for name in names:
                judge(MONITORS.load(name), model, window_at(now, grain, world.zone), world)
        yield SimpleNamespace(
            home=home, world=world, model=model, day=day, now=now, clock=clock, log=log, slack=slack, mail=mail,
            pager=pager, configuration=configuration,
        )  # fmt: skip
        world.state.close()


def _configure(home, slack, mail, pager):
    chance = Random(5)
    training = [(chance.lognormvariate(4, 1), chance.choice(("web", "mail"))) for _ in range(TRAINING)]
    table = pa.table(
        {
            "size": [size for size, _ in training], "source": [source for _, source in training],
            "score": [chance.random() for _ in training],
        }
    )  # fmt: skip
    pyarrow.csv.write_csv(table, home / "training.csv")
    for name, secret in {"token": "xoxb-1", "mail": mail.url, "key": "k" * 32}.items():
        (home / name).write_text(secret)
    rules = (Path(tiltmeter.__file__).parent / "config" / "default_rules.yaml").read_text(encoding="utf-8")
    rules = rules.replace("inhibit:\n", CONVERSION + "inhibit:\n")
    text = CONFIGURATION.format(model=MODEL, slack=slack.api_url, pagerduty=pager.url)
    (home / "tiltmeter.yaml").write_text(text + rules, encoding="utf-8")
    return load_settings(home / "tiltmeter.yaml", environ={})


def _requests(home):
    app = FastAPI()
    capture = Capture(app, model=MODEL, model_version="14", spool=home / "spool")

    @app.post("/score")
    def score(lead: dict) -> dict:
        return {"score": min(0.99, lead["size"] / 1e5) if lead["size"] else 0.5}

    chance = Random(6)
    with TestClient(app) as client:
        for place in range(REQUESTS):
            # The unit of size changed (×100); a third of the leads came from a source that nobody knows.
            source = "partner-x" if place % 3 == 0 else chance.choice(("web", "mail"))
            size = None if place % 3 == 1 else 100 * chance.lognormvariate(4, 1)
            body = {"lead_id": f"lead-{place}", "size": size, "source": source}
            assert client.post("/score", json=body).status_code == 200
    capture.close()


def _nightly(home, now):
    chance = Random(7)
    frame = pa.table(
        {
            "lead_id": [f"night-{place}" for place in range(BATCH)],
            "size": [100 * chance.lognormvariate(4, 1) for _ in range(BATCH)],
            "source": [chance.choice(("web", "mail")) for _ in range(BATCH)],
            "score": [chance.random() for _ in range(BATCH)],
        }
    )  # fmt: skip
    with batch_job(model=MODEL, job="nightly", run_id="n1", spool=home / "spool", now=lambda: now) as run:
        run.log(frame, score="score", entity_id="lead_id")


def _outcomes(home, at):
    writer = SpoolWriter(home / "spool")
    for place in range(60):
        record_outcome(
            entity_id=f"lead-{10_000 + place}", converted=True, revenue=100.0, currency="EUR", at=at, model=MODEL,
            writer=writer,
        )  # fmt: skip
    writer.close()


def _rows(company, *columns):
    rows = company.world.log.inner.rows(company.model, company.day)
    return pa.Table.from_batches(list(rows.batches(list(columns)))).to_pylist()


def _metric(company, name, grain=Grain.DAY, **subject):
    query = MetricQuery(model=MODEL, metric=name, grain=grain, version="", segment=("", ""), **subject)
    return company.world.state.metrics(query)[-1]


def test_requests_become_rows_with_time_inputs_and_outputs(company):
    found = [row for row in _rows(company, "source", "request_time", "f_size", "f_source", "prediction", "entity_id")
             if row["source"] == "api"]  # fmt: skip
    assert len(found) == REQUESTS
    assert {row["entity_id"] for row in found} == {f"lead-{place}" for place in range(REQUESTS)}
    assert all(row["request_time"] in company.day and row["prediction"] is not None for row in found)
    assert {row["f_source"] for row in found} == {"partner-x", "web", "mail"}


def test_batch_rows_stand_in_the_same_table_and_the_run_beside_them(company):
    assert sum(row["source"] == "batch" for row in _rows(company, "source")) == BATCH
    (run,) = company.world.log.batch_runs(company.day.start)
    assert (run["job_name"], run["records_in"], run["records_scored"], run["result_state"]) == (
        "nightly", BATCH, BATCH, "SUCCESS",
    )  # fmt: skip
    assert run["end_time"] >= run["start_time"]


def test_the_log_gives_every_drift_statistic(company):
    assert _metric(company, "drift.psi", feature="size").value > 0.5
    assert _metric(company, "drift.kl", feature="size").value > 0.1
    assert _metric(company, "drift.ks", feature="size").value > 0.3
    assert _metric(company, "drift.chi2", feature="source").value > 100
    assert _metric(company, "drift.overall_psi", feature="").value is not None


def test_the_log_gives_every_feature_statistic(company):
    for name in ("mean", "std", "min", "max", "missing_share", "distinct", "outlier_share_iqr", "outlier_share_z"):
        assert _metric(company, f"features.{name}", feature="size").value is not None, name
    # A third of the requests, none of the batch.
    assert _metric(company, "features.missing_share", feature="size").value == pytest.approx(
        133 / (REQUESTS + BATCH), abs=1e-9
    )
    assert _metric(company, "features.distinct", feature="source").value == 3


def test_the_log_gives_baseline_and_current_side_by_side(company):
    reference = company.world.baselines.judging(company.model, company.day)
    current = company.world.states.total(MODEL, reference.bins.bins_id, company.day)
    assert (reference.profile.rows, current.rows) == (TRAINING, REQUESTS + BATCH)
    assert current.features["source"].new == {"partner-x": 134}


def test_requests_give_latency_and_throughput(company):
    states = company.log.traffic(MODEL, company.day)
    assert sum(state.requests for state in states) == REQUESTS
    span = Window(company.now - timedelta(hours=1), company.now + timedelta(hours=1), Grain.LIVE)
    found = {m.name: m.value for m in live_traffic(company.model, span, company.world, capacity=Capacity())}
    assert 0 < found["serving.latency_ms.p50"] <= found["serving.latency_ms.p95"] <= found["serving.latency_ms.p99"]
    assert found["serving.requests_per_second"] == pytest.approx(REQUESTS / 7200)
    assert found["serving.error_rate"] == 0


def test_outcomes_give_conversion_precision_recall_and_revenue(company):
    # By hand: 300 leads with scores 0.00 … 0.99; the first 60 (0.00 to 0.59) became customers, 10 of them from 0.5 on.
    assert _metric(company, "outcomes.conversion_rate").value == pytest.approx(60 / 300)
    assert _metric(company, "outcomes.precision").value == pytest.approx(10 / 150)
    assert _metric(company, "outcomes.recall").value == pytest.approx(10 / 60)
    assert _metric(company, "outcomes.revenue_per_lead").value == pytest.approx(100.0 * 60 / 300)


def _fired(company):
    return {alert.rule: alert.severity for alert in company.world.state.alerts(MODEL).values()}


def test_rules_fire_on_what_was_measured(company):
    fired = _fired(company)
    assert fired["feature_psi"] is Severity.CRITICAL
    assert fired["feature_kl"] is Severity.INFO
    assert fired["feature_tests"] is Severity.INFO
    assert fired["new_levels"] is Severity.WARNING
    assert fired["missing"] in (Severity.WARNING, Severity.CRITICAL)
    assert fired["conversion_low"] is Severity.WARNING


def test_slow_and_missing_requests_fire(company):
    """Slow requests of the last five minutes; then no request where the same hour of two weeks before had some."""
    world, model = company.world, company.model
    at = company.day.end + timedelta(hours=1)
    counts = TrafficCounts()
    slow = {latency_bin(900.0): 30}
    usual = {latency_bin(20.0): 30}
    moments = [(at - timedelta(seconds=10 * step), slow) for step in range(1, 31)]
    later = at + timedelta(hours=2)
    for week in (1, 2):
        moments += [(later - timedelta(weeks=week, seconds=10 * step), usual) for step in range(1, 181)]
    for moment, latency in moments:
        start = moment.replace(second=moment.second // 10 * 10, microsecond=0)
        counts.add_state(TrafficState(start, "h", MODEL, "14", "POST /score", "2xx", 30, 0, latency))
    company.log.append("traffic", traffic_table(counts.states()))
    span = Window(at - timedelta(minutes=5), at, Grain.LIVE)
    rules = {rule.id: rule for rule in world.rules.rules}
    slow_metrics = live_traffic(model, span, world, capacity=Capacity())
    for moment in (at, at + timedelta(minutes=2)):  # `for: 1m`
        company.clock.at = moment
        conclude("live", model, Window(span.start, moment, Grain.LIVE),
                 [Judged(slow_metrics, [rules["latency_p95"]])], world, is_live=True)  # fmt: skip
    assert _fired(company)["latency_p95"] is Severity.WARNING
    company.clock.at = later
    silence = Window(later - timedelta(minutes=30), later, Grain.LIVE)
    metric = live_usual_traffic(model, silence, world)
    assert metric.value == 0
    conclude("live", model, silence, [Judged([metric], [rules["no_traffic"]])], world, is_live=True)
    assert _fired(company)["no_traffic"] is Severity.WARNING


def test_warnings_reach_slack_and_criticals_everybody(company):
    Sender(company.world.state, company.world.channels, company.clock, rng=Random(1), paced=False).drain_once()
    until = time.monotonic() + 20
    while not (len(company.slack.inbox) and len(company.mail.inbox) and len(company.pager.inbox)):
        assert time.monotonic() < until
        Sender(company.world.state, company.world.channels, company.clock, rng=Random(1), paced=False).drain_once()
    deliveries = [d for d in company.world.state.deliveries() if d.message.channel != "dashboard"]
    told = {d.message.channel: d.status.value for d in deliveries}
    assert set(told) == {"slack-ml-alerts", "email-ml-team", "pagerduty-ml"}
    assert set(told.values()) == {"sent"}


def test_the_dashboard_shows_what_the_log_holds(company, monkeypatch):
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setenv("TILTMETER_CONFIG", str(company.home / "tiltmeter.yaml"))
    st.config.set_option("server.address", "127.0.0.1")
    shown = AppTest.from_file(str(PAGES_FOLDER.parent / "app.py"), default_timeout=60)
    shown.run()
    assert not shown.exception
    words = " ".join(str(part.value) for part in [*shown.markdown, *shown.metric])
    assert "size" in words
    assert "critical" in words.lower()
