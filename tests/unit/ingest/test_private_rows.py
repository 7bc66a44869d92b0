"""Privacy rules of the configuration hold for every source, whatever the API was deployed with."""

import json
import logging
import zlib
from datetime import timedelta

import pyarrow as pa
import pytest

from spools import START, fill, outcome, request
from tables import FakeClock, Frame
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.privacy import Privacy
from tiltmeter.capture.record import LoggedFields
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.ingest.prediction_rows import foreign, training
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog

RULES = Model(
    "lead-scoring", drop=("email", "contact.name", "*.contact.name"), hash=("phone", "entity_id", "requester")
)
CANARIES = ("canary-mail@x.example", "+49 30 7654321", "Ada Canary", "canary-lead", "canary-agent")


@pytest.fixture(autouse=True)
def hash_key(monkeypatch):
    monkeypatch.setenv("TILTMETER_HASH_KEY", "key of the test")


@pytest.fixture
def shipper(tmp_path):
    clock = FakeClock(START + timedelta(minutes=1))
    log = DeltaLog(tmp_path / "tables", clock)
    return Shipper(tmp_path / "spool", log, {RULES.name: RULES}, clock, keep_raw="always")


def private_requests():
    mail, phone, name, lead, agent = CANARIES
    body = {"email": mail, "phone": phone, "contact": {"name": name, "age": 3}, "entity_id": lead, "size": 1.5}
    sent, echo = json.dumps(body).encode(), json.dumps({"score": 0.5, "email": mail}).encode()
    facts = {"request": sent, "response": echo, "request_bytes": len(sent), "response_bytes": len(echo)}
    spelled = json.dumps({"em\u0061il": mail}).replace("email", "\\u0065mail").encode()
    yield request(0, **facts, requester=agent)
    yield request(1, **facts, logged=[LoggedFields({"phone": phone}, 0.4, lead)])
    yield request(2, **facts | {"response": b'{"detail": "%s"}' % mail.encode()}, status=422)
    yield request(3, **facts | {"request": b"email=" + mail.encode()})
    yield request(4, **facts | {"request": sent[:60]})
    yield request(5, **facts | {"request": spelled, "request_bytes": len(spelled)})
    yield request(6, **facts | {"response": zlib.compress(echo), "response_encoding": "deflate"})
    yield request(7, **facts | {"request": json.dumps([body, body]).encode(), "request_bytes": 2 * len(sent) + 4})


def texts_in(folder):
    """Everything that lies in the tables: data as text, log entries as they are."""
    import pyarrow.parquet as pq

    found = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in folder.rglob("*.parquet")]
    return found + [path.read_text() for path in folder.rglob("*.json")]


def test_no_canary_of_any_source_reaches_a_table_or_a_message(tmp_path, shipper, caplog, capsys):
    mail, phone, name, lead, _ = CANARIES
    caplog.set_level(logging.DEBUG)
    fill(tmp_path / "spool", [*private_requests(), outcome(0, entity_id=lead), outcome(1, entity_id=lead, model="m")])
    frame = pa.table({"email": [mail], "phone": [phone], "contact.name": [name], "lead": [lead], "score": [0.5]})
    with batch_job(model=RULES.name, job="nightly", run_id="r", spool=tmp_path / "spool") as job:
        job.log(frame, score="score", entity_id="lead")
    shipped = shipper.ship_once(flush=True)
    assert (shipped.predictions, shipped.outcomes) == (10, 2)
    told = texts_in(tmp_path / "tables")
    assert any("'f_size': 1.5" in text for text in told), "the rest of the bodies is there"
    output = capsys.readouterr()
    for canary in CANARIES:
        places = [text for text in (*told, caplog.text, output.out, output.err) if canary in text]
        if canary == lead:  # an outcome of another model, which has no rules
            places = [text for text in places if "outcome_id" not in text]
        assert not places, canary
    assert shipper.counters["unreadable_bodies"] == 3


def test_a_hashed_lead_still_meets_its_outcome(tmp_path, shipper):
    fill(tmp_path / "spool", [request(1), outcome(1)])
    shipper.ship_once(flush=True)
    found = " ".join(texts_in(tmp_path / "tables"))
    kept = Privacy(hash=["entity_id"]).text("entity_id", "lead-1")
    assert found.count(f"'entity_id': '{kept}'") == 2


def test_what_the_api_hashed_is_not_hashed_again(tmp_path, shipper):
    hashed = Privacy(hash=["phone"]).text("phone", "+49")
    body = json.dumps({"phone": hashed}).encode()
    fill(tmp_path / "spool", [request(0, request=body, request_bytes=999, reduced=True)])
    shipper.ship_once(flush=True)
    assert f"'f_phone': '{hashed}'" in " ".join(texts_in(tmp_path / "tables"))
    assert shipper.counters["unreadable_bodies"] == 0


def test_a_missing_key_is_said_before_anything_is_shipped(tmp_path, monkeypatch):
    monkeypatch.delenv("TILTMETER_HASH_KEY")
    with pytest.raises(ConfigError, match="TILTMETER_HASH_KEY"):
        Shipper(tmp_path, DeltaLog(tmp_path / "t", FakeClock(START)), {RULES.name: RULES}, FakeClock(START))


@pytest.mark.parametrize("renamed", [foreign, training])
def test_rows_that_are_read_in_place_give_hashes_as_captured_rows_do(renamed):
    source = TableSource("t", {"entity_id": "lead", "prediction": "score"})
    model = Model("m", source=source, hash=("phone", "lead"))
    rows = renamed(
        Frame(pa.table({"lead": ["a", None], "phone": [17, 18], "x": [1.0, 2.0], "score": [0.1, 0.2]})), model
    )
    (batch,) = rows.batches()
    assert batch.schema == rows.schema
    expected = Privacy(hash=["phone"])
    assert batch.column("phone").to_pylist() == [expected.json({"phone": n})["phone"] for n in (17, 18)]
    assert batch.column("x").to_pylist() == [1.0, 2.0]
    assert batch.column("__entity").to_pylist() == [Privacy(hash=["lead"]).text("lead", "a"), None]
