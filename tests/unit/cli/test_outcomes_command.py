"""`tiltmeter outcomes import` on real files."""

import pytest

from command_line import tiltmeter
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.outcome import outcome_key
from tiltmeter.store.schema import OUTCOMES
from tiltmeter.store.snapshot import snapshot
from tiltmeter.wiring import stored_log

CONFIGURATION = """
version: 1
home: .
timezone: Europe/Berlin
models:
  lead-scoring:
    privacy: {hash: [%s]}
"""
KEY = "key of the test"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "tiltmeter.yaml").write_text(CONFIGURATION % "", encoding="utf-8")
    return tmp_path


def run(home, content, *options, name="crm.csv", **environment):
    (home / name).write_text(content, encoding="utf-8")
    return tiltmeter("outcomes", "import", name, "--json", *options, cwd=home, **environment)


def rows_in(home):
    configuration = load_settings(home / "tiltmeter.yaml", environ={"TILTMETER_HASH_KEY": KEY})
    snap = snapshot(stored_log(configuration, FakeClock(), configuration.models).table(OUTCOMES.name))
    return [row for batch in snap.rows().batches(OUTCOMES.columns.names) for row in batch.to_pylist()]


def test_ids_of_a_csv_file_are_the_text_they_are(home):
    long = "12345678901234567890"
    ran = run(home, f"lead_id,outcome_id,converted\n007,0x1F,1\n7,1e5,0\n{long},{long},1\n")
    assert (ran.code, ran.document["written"]) == (0, 3), ran.err
    assert {(row["entity_id"], row["outcome_id"]) for row in rows_in(home)} == {
        ("007", "0x1F"), ("7", "1e5"), (long, long)
    }  # fmt: skip


def test_numbers_of_a_column_with_gaps_are_the_ids_they_were(home):
    run(home, "lead_id,converted\n17.0,1\n,1\n18.0,0\n")
    assert sorted(row["entity_id"] for row in rows_in(home)) == ["17", "18"]


def test_a_nightly_export_without_times_is_imported_once(home):
    content = "lead_id,converted\n1,1\n2,0\n"
    first = run(home, content)
    assert first.document["written"] == 2
    again = run(home, content)
    assert (again.document["written"], again.document["unchanged"]) == (0, 2)
    assert len(rows_in(home)) == 2


def test_a_file_with_commas_for_points_and_refunds_is_read_and_a_hostile_row_refused(home):
    content = (
        "lead_id;converted_at;converted;revenue;currency\n"
        "1;2026-03-01 10:00:00;ja;-40,50;eur\n"
        "2;2026-03-01 10:00:00;1;-40,50;eur\n"
        "3;2026-03-01 10:00:00;1;1,00;euro\n"
        "4;2026-03-01 10:00:00;0;;\n"
    )
    ran = run(home, content)
    assert (ran.code, ran.document["written"], ran.document["refused"]) == (1, 2, 2)
    assert [problem[:6] for problem in ran.document["problems"]] == ["row 1:", "row 3:"]
    row = next(row for row in rows_in(home) if row["entity_id"] == "2")
    assert (row["revenue"], row["currency"]) == (-40.5, "EUR")


def test_rules_of_the_configuration_hold_for_a_file(home):
    (home / "tiltmeter.yaml").write_text(CONFIGURATION % "entity_id", encoding="utf-8")
    content = "lead_id,converted\nada@example.com,1\n"
    assert run(home, content).code == 2  # no key
    assert run(home, content, TILTMETER_HASH_KEY=KEY).code == 0
    (row,) = rows_in(home)
    assert row["entity_id"].startswith("hmac:")
    assert row["outcome_id"] == outcome_key(None, row["entity_id"])
