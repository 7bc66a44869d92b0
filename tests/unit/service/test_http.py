"""The HTTP API over a real state database: every route, every role, hostile input."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from tiltmeter.config.rules import load_rules
from tiltmeter.domain.alert import Incident, IncidentState
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import Limit
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ports import World
from tiltmeter.service.access import Access, Role
from tiltmeter.service.audit import record_rules
from tiltmeter.service.http import create_app
from tiltmeter.service.limits import MAX_BODY_BYTES, BodyLimit, depth_of
from tiltmeter.service.operations import RunningOperations
from tiltmeter.state.sql import SqlStateStore

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
HOUR = Window(NOW - timedelta(hours=1), NOW, Grain.HOUR)
KEYS = {Role.READ: "r", Role.OUTCOMES: "o", Role.OPERATE: "w"}


@dataclass
class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class NoBaselines:
    def judging(self, model, window):
        return None

    def bins(self, model, now):
        return None

    def progress(self, model):
        return 140, 1000


class EmptyLog:
    def batch_runs(self, since):
        return [
            {"job_name": "nightly", "run_id": "r1", "start_time": NOW, "ingest_time": NOW, "result_state": "SUCCESS"}
        ]

    def traffic(self, model, window):
        return []


@dataclass
class Spool:
    outcomes: list = field(default_factory=list)


@pytest.fixture
def spool():
    return Spool()


@pytest.fixture
def world(tmp_path):
    clock = StillClock()
    state = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    metric = Metric("drift.psi", Subject("lead-scoring", feature="<b>size</b>"), HOUR, 0.31, n_current=500)
    rows = Metric("features.rows", Subject("lead-scoring"), HOUR, 500.0, n_current=500)
    incident = Incident(
        "inc_1", "lead-scoring", IncidentState.OPEN, Severity.CRITICAL, NOW, NOW, title="<script>1</script>"
    )
    state.commit(Run("features", "lead-scoring", HOUR, NOW, 1, (metric, rows), incidents=(incident,)))
    yield World(
        clock=clock, zone=ZoneInfo("UTC"), engine=None, log=EmptyLog(), states=None, baselines=NoBaselines(),
        state=state, models={"lead-scoring": Model("lead-scoring")}, rules=load_rules(None),
    )  # fmt: skip
    state.close()


@pytest.fixture
def app(world, spool):
    operations = RunningOperations(world, None, spool.outcomes.extend, lambda: {"baseline": "learning"})
    return create_app(world, operations, Access(KEYS))


@pytest.fixture
def client(app):
    return TestClient(app, headers={"authorization": "Bearer w"}, raise_server_exceptions=True)


ROLES = {
    "none": {},
    "wrong": {"authorization": "Bearer nobody"},
    "outcomes": {"authorization": "Bearer o"},
    "read": {"authorization": "Bearer r"},
    "operate": {"x-tiltmeter-key": "w"},
}
OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect"}
ALLOWED = {"read": {"read", "operate"}, "outcomes": {"outcomes", "operate"}, "operate": {"operate"}}
MAY = {
    ("GET", "/metrics"): "read",
    ("GET", "/live"): "read",
    ("GET", "/api/v1/models"): "read",
    ("GET", "/api/v1/models/{model}/live"): "read",
    ("GET", "/api/v1/models/{model}/metrics"): "read",
    ("GET", "/api/v1/models/{model}/windows"): "read",
    ("GET", "/api/v1/models/{model}/profile"): "read",
    ("GET", "/api/v1/jobs"): "read",
    ("GET", "/api/v1/audit"): "read",
    ("GET", "/api/v1/incidents"): "read",
    ("GET", "/api/v1/incidents/{incident_id}"): "read",
    ("POST", "/api/v1/incidents/{incident_id}/ack"): "operate",
    ("POST", "/api/v1/silences"): "operate",
    ("DELETE", "/api/v1/silences/{silence_id}"): "operate",
    ("POST", "/api/v1/outcomes"): "outcomes",
}
"""Every route and the role that it needs: a route that is not listed fails the test below."""


def routes(app):
    found = set()
    for path, methods in app.openapi()["paths"].items():
        found |= {(method.upper(), path) for method in methods}
    return found


def test_every_route_is_refused_without_a_key_with_a_wrong_one_and_to_every_lower_role(app):
    guarded = {(method, path) for method, path in routes(app) if path not in OPEN}
    assert guarded == set(MAY)
    client = TestClient(app)
    for (method, path), needed in MAY.items():
        place = path.format(model="lead-scoring", incident_id="inc_1", silence_id="sil_1")
        for role, headers in ROLES.items():
            status = client.request(method, place, headers=headers).status_code
            if role in ALLOWED[needed]:
                assert status not in (401, 403), (method, path, role)
            else:
                assert status == (401 if role in ("none", "wrong") else 403), (method, path, role)


READ = [
    "/api/v1/models",
    "/api/v1/models/lead-scoring/metrics",
    "/api/v1/models/lead-scoring/windows",
    "/api/v1/jobs",
    "/api/v1/incidents",
    "/api/v1/incidents/inc_1",
    "/metrics",
    "/live",
]


@pytest.mark.parametrize("path", READ)
def test_every_reading_route_asks_for_a_key_and_answers_its_reader(app, path):
    assert TestClient(app).get(path).status_code == 401
    assert TestClient(app).get(path, headers={"authorization": "Bearer o"}).status_code == 403
    assert TestClient(app).get(path, headers={"authorization": "Bearer r"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/incidents/inc_1/ack", {}),
        ("POST", "/api/v1/silences", {"matchers": {"feature": "x"}, "minutes": 5, "reason": "test"}),
        ("DELETE", "/api/v1/silences/sil_1", None),
    ],
)
def test_every_operating_route_refuses_a_reader(app, method, path, body):
    answer = TestClient(app).request(method, path, json=body, headers={"authorization": "Bearer r"})
    assert answer.status_code == 403


def test_health_needs_no_key_and_readiness_says_what_is_missing(app):
    assert TestClient(app).get("/healthz").text == "ok"
    answer = TestClient(app).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["not_ready"] == {"baseline": "learning"}


def test_metrics_are_found_by_name_feature_and_time(client):
    found = client.get(
        "/api/v1/models/lead-scoring/metrics", params={"metric": "drift.psi", "feature": "<b>size</b>"}
    ).json()
    assert [m["value"] for m in found] == [0.31]
    later = client.get("/api/v1/models/lead-scoring/metrics", params={"from": "2027-01-01T00:00:00Z"}).json()
    assert later == []


def test_an_unknown_name_is_answered_with_the_closest_one(client):
    assert "lead-scoring" in client.get("/api/v1/models/lead-scorin/metrics").json()["detail"]
    answer = client.get("/api/v1/models/lead-scoring/metrics", params={"metric": "drift.pis"})
    assert answer.status_code == 422
    assert "drift.psi" in answer.json()["detail"]


def test_an_acknowledgement_counts_once_and_names_who(client, world):
    first = client.post("/api/v1/incidents/inc_1/ack", json={"by": "anna", "note": "on it"}).json()
    again = client.post("/api/v1/incidents/inc_1/ack", json={"by": "bert"}).json()
    assert first["acknowledged_by"] == again["acknowledged_by"] == "anna"
    kept = world.state.incident("inc_1")
    assert kept is not None
    assert kept.note == "on it"
    assert client.post("/api/v1/incidents/inc_none/ack").status_code == 404


def test_who_changed_a_silence_is_kept_with_before_and_after_in_one_line_each(client, world):
    matchers = {"feature": "x\nalert_resolved"}
    made = client.post("/api/v1/silences", json={"matchers": matchers, "minutes": 60, "reason": "a\nb"}).json()
    client.delete(f"/api/v1/silences/{made['id']}")
    ended, started = client.get("/api/v1/audit").json()
    assert (started["kind"], ended["kind"]) == ("alert_silenced", "alert_unsilenced")
    assert started["detail"]["by"] == ended["detail"]["by"] == "key:operate"
    assert started["detail"]["before"] is None
    assert json.loads(started["detail"]["after"])["reason"] == "a\nb"
    assert json.loads(ended["detail"]["before"])["until"] == made["ends_at"]
    assert all("\n" not in str(event["detail"]) for event in (started, ended))


def test_a_threshold_that_was_edited_is_kept_with_before_and_after(world, tmp_path):
    assert record_rules(world, by="anna") == 0
    edited = [
        replace(r, levels={Severity.WARNING: Limit(above=0.3)}) if r.id == "feature_psi" else r
        for r in world.rules.rules[:-1]
    ]
    assert record_rules(replace(world, rules=replace(world.rules, rules=tuple(edited))), by="bert") == 2
    changed = {event.detail["subject"]: event.detail for event in world.state.events(kinds=["rule_changed"])}
    assert set(changed) == {"feature_psi", "monitor_lag"}
    assert changed["feature_psi"]["by"] == "bert"
    assert "0.25" in changed["feature_psi"]["before"]
    assert "0.3" in changed["feature_psi"]["after"]
    assert changed["monitor_lag"]["after"] is None


def test_a_silence_starts_and_ends(client, world):
    made = client.post("/api/v1/silences", json={"matchers": {"feature": "x"}, "minutes": 60, "reason": "backfill"})
    assert made.status_code == 201
    assert [s.reason for s in world.state.silences(NOW)] == ["backfill"]
    assert client.delete(f"/api/v1/silences/{made.json()['id']}").json() == {"ended": True}
    assert client.delete("/api/v1/silences/sil_none").status_code == 404


def test_outcomes_are_accepted_with_a_time_zone_only(client, spool):
    good = [{"entity_id": "lead-1", "converted": True, "at": "2026-11-23T06:00:00Z", "revenue": 1200.0}]
    assert client.post("/api/v1/outcomes", json=good).json() == {"accepted": 1}
    assert spool.outcomes[0].entity_id == "lead-1"
    naive = [{**good[0], "at": "2026-11-23T06:00:00"}]
    assert client.post("/api/v1/outcomes", json=naive).status_code == 422
    assert len(spool.outcomes) == 1


def test_ids_may_be_numbers_and_a_refund_or_a_word_alone_is_an_outcome(client, spool):
    at = "2026-11-23T06:00:00Z"
    body = [
        {"entity_id": 17, "outcome_id": 123, "revenue": -40.5, "currency": "eur", "at": at},
        {"entity_id": "17", "label": "asked for a refund", "at": at},
    ]
    assert client.post("/api/v1/outcomes", json=body).json() == {"accepted": 2}
    first, second = spool.outcomes
    assert (first.entity_id, first.outcome_id, first.revenue, first.currency) == ("17", "123", -40.5, "EUR")
    assert (second.converted, second.label) == (None, "asked for a refund")


JSON = {"content-type": "application/json"}
HOSTILE = {
    "revenue that is none": '{"revenue": NaN}',
    "revenue beyond a double": '{"revenue": 1e400}',
    "revenue beyond reason": '{"revenue": 1e308}',
    "thousands of digits": '{"revenue": %s}' % ("9" * 5_000),
    "half a character": '{"label": "\\ud800"}',
    "half a character as an id": '{"entity_id": "\\ud800"}',
    "half a character as a key": '{"\\ud800": 1}',
    "a long key": '{"%s": 1}' % ("k" * 900_000),
    "before the calendar": '{"at": "0001-01-01T00:00:00+14:00"}',
    "after the calendar": '{"at": "9999-12-31T23:59:59-05:00"}',
    "before 1970": '{"at": "1969-12-31T23:59:59Z"}',
    "a number that is no time": '{"at": 1e308}',
    "a currency in words": '{"currency": "€"}',
    "an id that is truth": '{"entity_id": true}',
    "an id of many digits": '{"entity_id": %s}' % ("9" * 400),
    "nothing told": '{"converted": null}',
    "no JSON": "{",
    "no object": "7",
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_outcome_is_refused_without_its_value_and_nothing_of_its_post_is_kept(change, client, spool):
    good = '{"entity_id": "lead-1", "converted": true, "at": "2026-11-23T06:00:00Z"'
    bad = f"{good}, {change[1:]}" if change.startswith("{") and len(change) > 1 else change
    answer = client.post("/api/v1/outcomes", content=f"[{good}}}, {bad}]", headers=JSON)
    assert answer.status_code in {400, 422}, answer.text
    assert len(answer.content) < 5_000
    assert "input" not in answer.json()["detail"]
    assert spool.outcomes == []


def test_a_refusal_of_thousands_of_faults_names_some_and_counts_all(client):
    answer = client.post("/api/v1/outcomes", json=[{"entity_id": "x"}] * 5_000)
    assert answer.status_code == 422
    assert (len(answer.json()["detail"]), answer.json()["faults"]) == (20, 5_000)
    assert answer.json()["detail"][0]["loc"] == ["body", 0, "at"]


def test_other_routes_refuse_hostile_bodies_too(client):
    for content in ('{"matchers": {"\\ud800": "x"}, "minutes": NaN, "reason": "r"}', '{"\\ud800": 1}'):
        assert client.post("/api/v1/silences", content=content, headers=JSON).status_code == 422


def test_a_body_over_the_limit_is_refused(client):
    answer = client.post("/api/v1/outcomes", content=b"[" + b" " * MAX_BODY_BYTES + b"]")
    assert answer.status_code == 413


def test_a_body_that_is_too_deep_is_refused_before_it_is_parsed(client):
    answer = client.post("/api/v1/outcomes", content=b"[" * 100_000 + b"]" * 100_000)
    assert answer.status_code == 400
    assert "deeper than 32" in answer.json()["detail"]
    assert depth_of(b'{"a": "[[[[", "b": [1, {"c": "\\"["}]}') == 3


def test_a_body_that_drips_is_given_up():
    import asyncio

    sent = []

    async def never():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    limited = BodyLimit(None, seconds=0.05)
    asyncio.run(limited({"type": "http", "method": "POST"}, never, send))
    assert sent[0]["status"] == 408


def test_a_question_too_wide_is_refused_before_it_is_read(world, spool):
    operations = RunningOperations(world, None, spool.outcomes.extend, dict)
    client = TestClient(create_app(world, operations, Access(), most_numbers=1))
    answer = client.get("/api/v1/models/lead-scoring/metrics")
    assert answer.status_code == 422
    assert "2 numbers match; narrow it" in answer.json()["detail"]


def test_prometheus_text_escapes_hostile_names(client):
    text = client.get("/metrics").text
    assert (
        'tiltmeter_feature_psi{model="lead-scoring",model_version="",feature="<b>size</b>",window="hour"} 0.31' in text
    )
    assert 'tiltmeter_alerts_open{severity="critical"} 1.0' in text
    assert 'tiltmeter_job_records_total{job_name="nightly",result="in"} 0.0' in text


@pytest.mark.parametrize(
    "examples", [pytest.param(25, marks=pytest.mark.slow), pytest.param(1_000, marks=pytest.mark.faults)]
)
def test_generated_requests_never_meet_an_error_of_ours(app, examples):
    import schemathesis
    from hypothesis import HealthCheck, given, settings

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)

    asked = 0
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=strategy)
        def talk(case):
            nonlocal asked
            asked += 1
            answer = case.call(headers={"authorization": "Bearer w"})
            assert answer.status_code < 500 or case.path == "/readyz", (case.method, case.path, answer.text)

        talk()
    assert asked >= (10_000 if examples > 100 else 200)
