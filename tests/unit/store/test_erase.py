"""Erasing a person leaves no byte of them in tables, old versions, logs and set-aside files; profiles are repaired."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tables import FakeClock, prediction_rows
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.ingest.columns import outcome_table
from tiltmeter.ingest.prediction_rows import ENTITY, SCORE, TIME, VERSION, captured
from tiltmeter.profiling.codec import encode_profile
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.hours import profile_hours
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.erase import Reprofiling, erase_entity
from tiltmeter.store.states import DeltaProfileStates

MODEL = Model("lead-scoring", segments=("source",))
PERSON = "lead-secret-77"
HOUR = Window(datetime(2026, 3, 10, 9, tzinfo=UTC), datetime(2026, 3, 10, 10, tzinfo=UTC), Grain.HOUR)
UTC_ZONE = ZoneInfo("UTC")


def with_person(rows):
    place = rows.schema.get_field_index("entity_id")
    ids = rows["entity_id"].to_pylist()
    ids[3] = PERSON
    return rows.set_column(place, "entity_id", pa.array(ids))


@pytest.fixture
def home(tmp_path):
    log = DeltaLog(tmp_path / "tables", FakeClock())
    states = DeltaProfileStates(tmp_path / "tables", FakeClock())
    log.append("predictions", with_person(prediction_rows(300)), {"slot": 1})
    log.append("predictions", prediction_rows(50, first=400), {"slot": 2})
    row = {
        "outcome_id": "o-1", "entity_id": PERSON, "model_name": None, "outcome_us": 1, "recorded_us": 1,
        "converted": True, "revenue": 5.0, "currency": None, "label": None,
    }  # fmt: skip
    log.append("outcomes", outcome_table([row], ingest_us=1))
    rows = captured(log.new_rows(MODEL, None), MODEL)
    bins = fit_bins(rows, ColumnRoles(ignore=(TIME, VERSION), score=SCORE, entity=ENTITY))
    states.append(profiles(log, bins), source_version=2)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "one.seg").write_bytes(b"torn " + PERSON.encode() + b" rest")
    (damaged / "two.seg").write_bytes(b"nothing of them")
    return log, states, bins, damaged


def profiles(log, bins, window=None):
    rows = captured(log.new_rows(MODEL, None) if window is None else log.rows(MODEL, window), MODEL)
    return profile_hours(
        rows, bins, model=MODEL.name, time=TIME, version=VERSION, segments=MODEL.segments, zone=UTC_ZONE
    )


def repair_of(log, states, bins):
    """The repair of a service without late rows: each hour as it stands now."""

    def anew(hours):
        found = {}
        for start in hours:
            found.update(profiles(log, bins, window_at(start, Grain.HOUR, UTC_ZONE)))
        states.replace(found, hours, model=MODEL.name, bins_id=bins.bins_id)
        return hours

    return Reprofiling(MODEL.name, bins.bins_id, anew)


class KeptHours:
    def __init__(self):
        self.kept = {}

    def read(self):
        return self.kept

    def keep(self, hours):
        self.kept = {model: set(starts) for model, starts in hours.items()}


class BrokenOff(Exception):
    pass


def test_an_erasure_that_breaks_off_is_finished_by_the_next_one(home):
    log, states, bins, _ = home
    before, kept = states.total(MODEL.name, bins.bins_id, HOUR), KeptHours()

    def killed(hours):
        raise BrokenOff

    with pytest.raises(BrokenOff):
        erase_entity(
            log, states, [PERSON], models=[Reprofiling(MODEL.name, bins.bins_id, killed)], zone=UTC_ZONE,
            unfinished=kept,
        )  # fmt: skip
    assert states.total(MODEL.name, bins.bins_id, HOUR).rows == before.rows, "the profiles still count the person"
    erased = erase_entity(
        log, states, ["somebody else"], models=[repair_of(log, states, bins)], zone=UTC_ZONE, unfinished=kept
    )
    assert (erased.rows["predictions"], erased.hours) == (0, {MODEL.name: 1})
    assert states.total(MODEL.name, bins.bins_id, HOUR).rows == before.rows - 1
    assert kept.kept == {}


def test_no_byte_of_the_person_is_left_anywhere(home, tmp_path):
    log, states, bins, damaged = home
    repair = repair_of(log, states, bins)
    before = states.total(MODEL.name, bins.bins_id, HOUR)
    states.store_day_sums(datetime(2026, 4, 1, tzinfo=UTC))
    erased = erase_entity(log, states, [PERSON], models=[repair], zone=UTC_ZONE, damaged=damaged)
    assert erased.rows == {"predictions": 1, "outcomes": 1}
    assert erased.hours == {MODEL.name: 1}
    assert erased.files["predictions"] > 0
    assert erased.set_aside == ["one.seg"]
    left = [p.name for p in tmp_path.rglob("*") if p.is_file() and PERSON.encode() in p.read_bytes()]
    assert left == []
    after = states.total(MODEL.name, bins.bins_id, HOUR)
    assert before.rows - after.rows == 1
    fresh = DeltaProfileStates(tmp_path / "anew", FakeClock())
    fresh.append(profiles(log, bins), source_version=0)
    assert encode_profile(after) == encode_profile(fresh.total(MODEL.name, bins.bins_id, HOUR))
    assert log.new_rows(MODEL, None).count() == 349
    assert log.outcomes(MODEL.name, datetime(2027, 1, 1, tzinfo=UTC)).num_rows == 0


def with_bodies(rows, bodies):
    """Rows whose kept requests are these."""
    texts = pa.array([bodies.get(place) for place in range(rows.num_rows)], pa.string())
    return rows.set_column(rows.schema.get_field_index("request"), "request", texts)


@pytest.mark.parametrize("person", [PERSON, "77", 'zoë"x'])
def test_a_body_kept_with_the_row_of_another_no_longer_names_the_person(tmp_path, person):
    log = DeltaLog(tmp_path / "tables", FakeClock())
    states = DeltaProfileStates(tmp_path / "tables", FakeClock())
    others = json.dumps([{"entity_id": "lead-1"}, {"entity_id": f"{person}0"}, {"entity_id": 770}])
    plain, escaped = (
        json.dumps([{"entity_id": "lead-1"}, {"entity_id": person}], ensure_ascii=a) for a in (False, True)
    )
    rows = with_bodies(prediction_rows(20), {0: plain, 5: escaped, 6: '{"entity_id": "' + person, 7: others})
    log.append("predictions", rows, {"slot": 1})
    seen = log.new_rows(MODEL, None)
    erased = erase_entity(log, states, [person], models=[], zone=UTC_ZONE)
    assert (erased.rows["predictions"], erased.bodies) == (0, 3)
    assert log.new_rows(MODEL, seen.version).count() == 0, "no row is profiled a second time"
    left = pa.Table.from_batches(list(log.new_rows(MODEL, None).batches(["request"])))["request"].to_pylist()
    assert len(left) == 20
    assert [text for text in left if text] == [others]


def test_a_batch_part_that_was_set_aside_is_searched_and_one_that_cannot_be_is_named(home):
    log, states, _, damaged = home
    run = damaged / "batch-nightly"
    run.mkdir()
    ids = pa.table({"entity_id": ["lead-1", PERSON]})
    pq.write_table(ids, run / "part-00000.parquet", compression="lz4")
    pq.write_table(ids.slice(0, 1), run / "part-00001.parquet", compression="lz4")
    (run / "part-00002.parquet").write_bytes(b"PAR1 cut")
    pq.write_table(pa.table({"prediction": [0.5]}), run / "part-00003.parquet")  # a job that was given no ids
    erased = erase_entity(log, states, [PERSON], models=[], zone=UTC_ZONE, damaged=damaged)
    assert sorted(erased.set_aside) == ["one.seg", "part-00000.parquet"]
    assert erased.unread == ["part-00002.parquet"]
    assert sorted(path.name for path in run.iterdir()) == [f"part-0000{number}.parquet" for number in (1, 2, 3)]


def test_the_rewritten_rows_are_not_profiled_a_second_time(home):
    log, states, bins, _ = home
    watermark = states.watermark(MODEL.name, bins.bins_id)
    erase_entity(log, states, [PERSON], models=[], zone=UTC_ZONE)
    assert log.new_rows(MODEL, watermark).count() == 0


def test_erasing_twice_and_erasing_nobody_change_nothing(home):
    log, states, _, _ = home
    erase_entity(log, states, [PERSON], models=[], zone=UTC_ZONE)
    again = erase_entity(log, states, [PERSON, "nobody"], models=[], zone=UTC_ZONE)
    assert again.rows == {"predictions": 0, "outcomes": 0}
    assert log.new_rows(MODEL, None).count() == 349


def test_an_installation_without_tables_has_nothing_to_erase(tmp_path):
    log = DeltaLog(tmp_path, FakeClock())
    erased = erase_entity(log, DeltaProfileStates(tmp_path, FakeClock()), ["x"], models=[], zone=UTC_ZONE)
    assert sum(erased.rows.values()) == 0
