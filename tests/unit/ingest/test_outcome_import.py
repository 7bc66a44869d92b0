"""Outcome files: usual names are found, nonsense is refused by row, importing again changes nothing."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tables import FakeClock, Frame
from tiltmeter.domain.errors import UsageError
from tiltmeter.ingest.outcomes import import_outcomes
from tiltmeter.store.delta import DeltaLog

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def log(tmp_path):
    return DeltaLog(tmp_path, FakeClock(NOW))


def bring(log, file, *, now=NOW, **options):
    return import_outcomes(Frame(pa.table(file)), log, now=now, zone=BERLIN, **options)


FILE = {
    "lead_id": ["lead-1", "lead-2", "lead-unknown"],
    "closed_at": ["2026-03-01T10:00:00", "2026-03-02", "2024-01-01T00:00:00+00:00"],
    "converted": ["yes", "0", "TRUE"],
    "revenue": ["100.5", None, "7"],
}


def test_a_file_of_a_crm_is_read_by_its_usual_names_and_in_its_zone(log):
    report = bring(log, FILE)
    assert (report.read, report.written, report.refused) == (3, 3, 0)
    rows = {row["entity_id"]: row for row in log.outcomes("any", LATER).to_pylist()}
    assert rows["lead-1"]["outcome_time"] == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert (rows["lead-1"]["converted"], rows["lead-1"]["revenue"]) == (True, 100.5)
    assert (rows["lead-2"]["converted"], rows["lead-2"]["revenue"]) == (False, None)


def test_a_second_import_writes_nothing_and_a_corrected_file_only_the_corrections(log):
    bring(log, FILE)
    assert bring(log, FILE, now=LATER).unchanged == 3
    corrected = FILE | {"converted": ["yes", "1", "TRUE"]}
    report = bring(log, corrected, now=LATER)
    assert (report.written, report.unchanged) == (1, 2)
    rows = {row["entity_id"]: row["converted"] for row in log.outcomes("any", LATER).to_pylist()}
    assert rows == {"lead-1": True, "lead-2": True, "lead-unknown": True}


def test_a_lead_told_twice_in_one_file_counts_as_last_told(log):
    bring(log, {"entity_id": ["a", "a"], "converted": [True, False]})
    (row,) = log.outcomes("any", LATER).to_pylist()
    assert row["converted"] is False


def test_rows_that_make_no_sense_are_refused_by_number_and_the_rest_is_written(log):
    columns = {
        "entity_id": ["a", None, "c", "d", "e"],
        "converted": ["yes", "yes", "maybe", None, "no"],
        "revenue": [None, None, None, "lots", None],
    }
    report = bring(log, columns)
    assert (report.written, report.refused) == (2, 3)
    assert [problem.split(":")[0] for problem in report.problems] == ["row 2", "row 3", "row 4"]


def test_an_outcome_that_has_not_happened_yet_is_not_known_yet(log):
    bring(log, {"entity_id": ["a"], "converted": [True], "time": [LATER]})
    assert log.outcomes("any", NOW).num_rows == 0
    assert log.outcomes("any", LATER).num_rows == 1


def test_an_outcome_of_one_model_is_none_of_another(log):
    bring(log, {"entity_id": ["a"], "converted": [True]}, model="lead-scoring")
    assert log.outcomes("lead-scoring", LATER).num_rows == 1
    assert log.outcomes("churn", LATER).num_rows == 0


@pytest.mark.parametrize(
    ("columns", "named", "message"),
    [
        ({"who": ["a"], "converted": [True]}, {}, "no column names the lead"),
        ({"entity_id": ["a"]}, {}, "what became of the lead"),
        ({"entity_id": ["a"], "converted": [True]}, {"time": "closd"}, 'no column "closd"'),
    ],
)
def test_a_file_without_the_columns_it_needs_says_which(log, columns, named, message):
    with pytest.raises(UsageError, match=message):
        bring(log, columns, columns=named)
