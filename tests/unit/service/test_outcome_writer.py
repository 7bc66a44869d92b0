"""Outcomes that the service is told: as durable and as bounded as `capture.spool` says, from the post to the table."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from tables import FakeClock
from tiltmeter.capture.outcomes import keep_outcomes
from tiltmeter.config.load import load_settings
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.service.access import Access, Role
from tiltmeter.service.http import create_app
from tiltmeter.service.operations import RunningOperations
from tiltmeter.service.running import outcome_writer
from tiltmeter.wiring import stored_log

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
BODY = json.dumps(
    [{"entity_id": "lead-1", "converted": True, "revenue": 12.5, "currency": "eur", "at": AT.isoformat()}]
)


@pytest.fixture
def installed(tmp_path):
    def made(spool):
        path = tmp_path / "tiltmeter.yaml"
        path.write_text(f"version: 1\nhome: .\ncapture: {{spool: {spool}}}\nmodels: {{m: {{}}}}\n", encoding="utf-8")
        configuration = load_settings(path, environ={})
        writer = outcome_writer(configuration)
        writers.append(writer)
        operations = RunningOperations(
            SimpleNamespace(clock=FakeClock(AT)), None, lambda outcomes: keep_outcomes(outcomes, writer), dict
        )
        app = create_app(None, operations, Access({Role.OUTCOMES: "o"}))
        return (
            configuration,
            writer,
            TestClient(app, headers={"authorization": "Bearer o", "content-type": "application/json"}),
        )

    writers = []
    yield made
    for writer in writers:
        writer.close()


def post(client):
    return client.post("/api/v1/outcomes", content=BODY)


def test_a_post_with_a_key_becomes_a_row_of_the_table(tmp_path, installed):
    configuration, writer, client = installed("{durability: disk}")
    assert writer.durability == "disk"
    assert client.post("/api/v1/outcomes", content=BODY, headers={"authorization": "Bearer x"}).status_code == 401
    assert (post(client).status_code, post(client).json()) == (202, {"accepted": 1})
    writer.close()
    clock = FakeClock(datetime.now(UTC))
    log = stored_log(configuration, clock, configuration.models)
    Shipper(tmp_path / "spool", log, {}, clock, damaged=tmp_path / "damaged").ship_once(flush=True)
    (row,) = log.outcomes("m", clock.now()).to_pylist()
    told = ("entity_id", "converted", "revenue", "currency", "outcome_time")
    assert [row[name] for name in told] == ["lead-1", True, 12.5, "EUR", AT]
    assert list((tmp_path / "damaged").glob("**/*.seg")) == []


def test_a_spool_that_is_full_by_its_settings_is_told_to_the_sender(installed):
    _, writer, client = installed("{max_bytes: 1B}")
    assert post(client).status_code == 503
    assert writer.counters.values() == {"dropped_full": 1}
