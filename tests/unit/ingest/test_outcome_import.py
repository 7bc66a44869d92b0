"""Outcome files: usual names are found, nonsense is refused by row, importing again changes nothing."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from tables import FakeClock, Frame
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.outcome import outcome_key
from tiltmeter.ingest.outcomes import ImportOptions, import_outcomes
from tiltmeter.store.delta import DeltaLog

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def log(tmp_path):
    return DeltaLog(tmp_path, FakeClock(NOW))


def bring(log, file, *, now=NOW, **options):
    rows = Frame(pa.table(file))
    return import_outcomes(rows, log, now=now, options=ImportOptions(BERLIN, **options))


def stored(log, until=LATER):
    return {row["entity_id"]: row for row in log.outcomes("any", until).to_pylist()}


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


def test_a_nightly_file_without_times_changes_nothing_and_moves_no_conversion(log):
    file = {"lead_id": ["a", "b"], "converted": ["1", "0"]}
    bring(log, file)
    report = bring(log, file, now=LATER)
    assert (report.written, report.unchanged) == (0, 2)
    assert {row["outcome_time"] for row in stored(log).values()} == {NOW}


def test_a_row_without_a_time_keeps_the_known_one_until_the_conversion_is_another(log):
    bring(log, {"lead_id": ["a", "b"], "converted": ["1", "0"], "revenue": ["5", None]})
    report = bring(log, {"lead_id": ["a", "b"], "converted": ["1", "1"], "revenue": ["7", None]}, now=LATER)
    assert report.written == 2
    rows = stored(log)
    assert (rows["a"]["outcome_time"], rows["a"]["revenue"]) == (NOW, 7.0)
    assert (rows["b"]["outcome_time"], rows["b"]["converted"]) == (LATER, True)  # it converted since


def test_a_file_that_corrects_itself_is_written_once(log):
    file = {"lead_id": ["a", "a", "b"], "converted": ["0", "1", "1"]}
    first, second = bring(log, file), bring(log, file, now=LATER)
    assert (first.read, first.written, first.repeated) == (3, 2, 1)
    assert (second.written, second.unchanged, second.repeated) == (0, 2, 1)
    assert stored(log)["a"]["converted"] is True


def test_a_correction_after_the_clock_was_set_back_still_wins(log):
    bring(log, {"lead_id": ["a"], "converted": ["1"], "time": [NOW]}, now=LATER)
    assert bring(log, {"lead_id": ["a"], "converted": ["0"], "time": [NOW]}, now=NOW).written == 1
    assert stored(log)["a"]["converted"] is False


def test_times_beyond_the_calendar_and_amounts_beyond_reason_are_refused_by_row_and_the_rest_is_written(log):
    columns = {
        "lead_id": ["a", "b", "c", "d", "e", "f"],
        "time": ["0001-01-01", "9999-12-31T23:59:59-05:00", "1969-12-31", "2026-03-01", "2026-03-01", "2026-03-01"],
        "revenue": ["1", "1", "1", "1e400", "1e308", "-40.5"],
        "currency": [None, None, None, None, None, "eur"],
    }
    report = bring(log, columns)
    assert (report.written, report.refused) == (1, 5)
    assert [problem.split(":")[0] for problem in report.problems] == [f"row {n}" for n in range(1, 6)]
    assert (stored(log)["f"]["revenue"], stored(log)["f"]["currency"]) == (-40.5, "EUR")


def test_whole_numbers_that_a_data_frame_wrote_with_a_point_are_the_ids_they_were(log):
    bring(log, {"lead_id": ["17.0", None, "18.0"], "converted": ["1", "1", "1"]})
    bring(log, {"lead_id": [19.0, None], "converted": [True, True]})
    assert sorted(stored(log)) == ["17", "18", "19"]
    bring(log, {"lead_id": ["20.0", "20.1"], "converted": ["1", "1"]})  # a scheme of its own
    assert {"20.0", "20.1"} <= set(stored(log))


def test_an_import_asks_only_for_what_the_file_names(log):
    bring(log, {"lead_id": [f"lead-{n}" for n in range(500)], "converted": [True] * 500})
    asked = pa.array([outcome_key(None, "lead-7"), "unheard-of"])
    known = log.known_outcomes(asked)
    assert known["entity_id"].to_pylist() == ["lead-7"]


@pytest.mark.parametrize("seed", range(6))
def test_files_in_any_order_leave_what_their_rows_said_last(seed, log, monkeypatch):
    """Against plain Python; also in lots smaller than the file and the table."""
    monkeypatch.setattr("tiltmeter.ingest.outcomes.WRITE_ROWS", 7)
    monkeypatch.setattr("tiltmeter.store.delta.LOT_ROWS", 10)
    chance, expected = Random(seed), {}
    for night in range(5):
        now = NOW + timedelta(days=night)
        rows = [
            {
                "lead_id": f"lead-{chance.randrange(20)}",
                "converted": chance.choice([True, False]),
                "revenue": chance.choice([None, 1.0, -2.5]),
                "time": chance.choice([None, NOW - timedelta(days=chance.randrange(9))]),
                "model": chance.choice([None, "m"]),
            }
            for _ in range(30)
        ]
        last = {(row["lead_id"], row["model"]): row for row in rows}
        written = 0
        for key, row in last.items():
            before = expected.get(key)
            is_same = before is not None and before[:2] == (row["converted"], row["revenue"])
            if is_same and row["time"] in (None, before[2]):
                continue
            kept = before[2] if before is not None and before[0] == row["converted"] else now
            expected[key] = (row["converted"], row["revenue"], row["time"] or kept)
            written += 1
        report = bring(log, {name: [row[name] for row in rows] for name in rows[0]}, now=now)
        assert (report.written, report.repeated) == (written, 30 - len(last))
    found = log.known_outcomes(pa.array([outcome_key(model, lead) for lead, model in expected])).to_pylist()
    told = {(r["entity_id"], r["model_name"]): (r["converted"], r["revenue"], r["outcome_time"]) for r in found}
    assert told == expected


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
