"""Privacy rules of the configuration hold for every source, whatever the API was deployed with."""

import json
import logging
import zlib
from datetime import timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from spools import START, fill, outcome, request
from tables import FakeClock, Frame
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.outcomes import record_outcome
from tiltmeter.capture.privacy import Privacy
from tiltmeter.capture.record import LoggedFields, encode_record
from tiltmeter.capture.writer import SpoolWriter
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.model import Model, RouteMapping, TableSource
from tiltmeter.domain.outcome import outcome_key
from tiltmeter.ingest.outcomes import ImportOptions, import_outcomes
from tiltmeter.ingest.prediction_rows import foreign, training
from tiltmeter.ingest.private import private_entity, private_key, rules_of
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


def outcomes_in(log):
    return log.outcomes(RULES.name, START + timedelta(days=1)).to_pylist()


def imported(log, file, rules=RULES, **options):
    privacy = rules_of({rules.name: rules})
    settings = ImportOptions(ZoneInfo("UTC"), privacy=privacy, **options)
    return import_outcomes(Frame(pa.table(file)), log, now=START, options=settings)


def test_an_import_follows_the_rules_and_meets_what_was_recorded_otherwise(tmp_path, shipper):
    """PII out of the table, one key whatever way an outcome comes, and the same file again changes nothing."""
    lead = CANARIES[3]
    writer = SpoolWriter(tmp_path / "spool", threaded=False)
    record_outcome(entity_id=lead, converted=False, at=START, model=RULES.name, writer=writer)
    writer.close()
    shipper.ship_once(flush=True)
    file = {"lead_id": [lead], "converted": [True], "time": [START]}
    assert imported(shipper.log, file, model=RULES.name).written == 1
    assert imported(shipper.log, file, model=RULES.name).unchanged == 1
    (row,) = outcomes_in(shipper.log)
    assert (row["converted"], row["entity_id"]) == (True, Privacy(hash=["entity_id"]).text("entity_id", lead))
    found = " ".join(texts_in(tmp_path / "tables"))
    assert lead not in found
    assert outcome_key(RULES.name, lead) not in found, "whoever tries all ids would find the lead"


def test_a_key_made_of_the_id_is_made_of_its_hash_for_every_kind_and_a_key_of_the_source_stays(tmp_path, shipper):
    lead, writer = CANARIES[3], SpoolWriter(tmp_path / "spool", threaded=False)
    for more in ({}, {}, {"kind": "renewal"}, {"outcome_id": "crm-1"}, {"outcome_id": lead}):
        record_outcome(entity_id=lead, converted=True, at=START, model=RULES.name, writer=writer, **more)
    old = {"outcome_id": outcome_key(RULES.name, "lead-2"), "entity_id": "lead-2"}  # of an earlier release
    writer.put(encode_record(outcome(2, model=RULES.name, **old)))
    writer.close()
    shipper.ship_once(flush=True)
    hashed, second = (Privacy(hash=["entity_id"]).text("entity_id", one) for one in (lead, "lead-2"))
    keys = {row["outcome_id"] for row in outcomes_in(shipper.log)}
    made = {outcome_key(RULES.name, hashed, kind) for kind in ("conversion", "renewal")}
    assert keys == {*made, outcome_key(RULES.name, second), "crm-1", hashed}
    assert lead not in " ".join(texts_in(tmp_path / "tables"))


@pytest.mark.parametrize(
    ("model", "is_hashed"),
    [
        (Model("m", routes=(RouteMapping("POST /s", "$", "lead.number"),), hash=("number",)), True),
        (Model("m", routes=(RouteMapping("POST /s", "$", "lead.number"),), hash=("lead.number",)), True),
        (Model("m", routes=(RouteMapping("POST /s", "leads.*", "number"),), hash=("leads.*.number",)), True),
        (Model("m", source=TableSource("t", {"entity_id": "number"}), hash=("number",)), True),
        (Model("m", routes=(RouteMapping("POST /s", "$", "number"),), hash=("contact.number",)), False),
    ],
)
def test_a_rule_for_the_field_that_names_the_lead_holds_for_its_outcomes(model, is_hashed):
    kept = private_entity("7", "m", rules_of({"m": model}))
    assert kept == (Privacy(hash=["number"]).text("number", "7") if is_hashed else "7")


def test_outcomes_of_leads_that_are_dropped_are_refused_by_an_import_and_nameless_in_the_table(tmp_path, shipper):
    dropping = Model(RULES.name, drop=("entity_id",))
    report = imported(shipper.log, {"lead_id": ["x"], "converted": [True]}, dropping)
    assert (report.written, report.refused) == (0, 1)
    assert "hash it instead" in report.problems[0]
    kept = private_key(outcome_key(None, "x"), "x", None)
    assert kept != outcome_key(None, "x")


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
