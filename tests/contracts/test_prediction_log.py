"""What every PredictionLog promises (`tiltmeter.ports`), held by our tables and by tables of others read in place."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from tables import FakeClock, prediction_rows
from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local.sources import data_files, rows_of_file
from tiltmeter.ingest.replay import Files, FolderSource
from tiltmeter.store.delta import DeltaLog

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
HOUR = Window(AT, AT + timedelta(hours=1), Grain.HOUR)
ROLES = {"time": "request_time", "prediction": "prediction", "entity_id": "entity_id", "model_version": "model_version"}


class Own:
    """Our `predictions` table."""

    def __init__(self, folder):
        self.log, self.model = DeltaLog(folder, FakeClock()), Model("lead-scoring")

    def add(self, rows):
        self.log.append("predictions", rows)


class Foreign:
    """Somebody's table, read in place."""

    def __init__(self, folder):
        self.path = str(folder / "scores")
        self.model = Model("lead-scoring", source=TableSource(self.path, ROLES))
        self.log = DeltaLog(folder, FakeClock(), {"lead-scoring": self.model})

    def add(self, rows):
        write_deltalake(self.path, rows, mode="append")


class Folder:
    """Somebody's folder of Parquet files, read in place."""

    def __init__(self, folder):
        self.path = folder / "scores"
        self.path.mkdir()
        self.model = Model("lead-scoring", source=TableSource(str(self.path), ROLES))
        files = Files(data_files, rows_of_file)
        self.log = DeltaLog(
            folder,
            FakeClock(),
            {"lead-scoring": self.model},
            folders=lambda model: FolderSource.of(model, folder, files),
        )

    def add(self, rows):
        pq.write_table(rows, self.path / f"{len(list(self.path.iterdir())):03d}.parquet")


@pytest.fixture(params=[Own, Foreign, Folder], ids=["own", "foreign", "folder"])
def side(request, tmp_path):
    return request.param(tmp_path)


def test_new_rows_are_those_of_later_versions(side):
    side.add(prediction_rows(10))
    first = side.log.new_rows(side.model, None)
    side.add(prediction_rows(5, first=10))
    later = side.log.new_rows(side.model, first.version)
    assert (first.count(), later.count()) == (10, 5)
    assert later.version > first.version
    assert side.log.new_rows(side.model, later.version).count() == 0
    assert side.log.new_rows(side.model, None).count() == 15


def test_rows_without_a_prediction_are_left_out(side):
    rows = prediction_rows(4)
    place = rows.schema.get_field_index("prediction")
    side.add(rows.set_column(place, "prediction", pa.array([0.5, None, 0.7, None], pa.float64())))
    assert side.log.new_rows(side.model, None).count() == 2
    assert side.log.rows(side.model, HOUR).count() == 2


def test_a_window_holds_its_start_and_not_its_end(side):
    for moment in (HOUR.start - timedelta(microseconds=1), HOUR.start, HOUR.end - timedelta(microseconds=1), HOUR.end):
        side.add(prediction_rows(1, at=moment))
    found = side.log.rows(side.model, HOUR)
    times = [t for batch in found.batches(["request_time"]) for t in batch.column(0).to_pylist()]
    assert times == [HOUR.start, HOUR.end - timedelta(microseconds=1)]


def test_batches_may_be_read_again_and_column_by_column(side):
    side.add(prediction_rows(300))
    rows = side.log.new_rows(side.model, None)
    whole = pa.Table.from_batches(list(rows.batches()), rows.schema)
    assert whole.num_rows == rows.count() == 300
    again = pa.Table.from_batches(list(rows.batches(["f_size"])))
    assert again["f_size"].to_pylist() == whole["f_size"].to_pylist()


def test_a_sample_is_small_and_filtered(side):
    side.add(prediction_rows(100))
    found = side.log.sample("lead-scoring", HOUR, {"f_source": "web"}, 7)
    assert len(found) == 7
    assert {row["f_source"] for row in found} == {"web"}


def test_a_column_that_came_later_is_null_before(side):
    side.add(prediction_rows(3).drop_columns(["f_source"]))
    if not isinstance(side, Foreign):
        side.add(prediction_rows(2, first=3))
    else:
        write_deltalake(side.path, prediction_rows(2, first=3), mode="append", schema_mode="merge")
    rows = side.log.new_rows(side.model, None)
    values = [v for batch in rows.batches(["f_source"]) for v in batch.column(0).to_pylist()]
    assert values.count(None) == 3
    assert len(values) == 5


def test_rows_of_another_model_are_not_ours(tmp_path):
    own = Own(tmp_path)
    own.add(prediction_rows(5))
    own.add(prediction_rows(7, model="churn"))
    assert own.log.new_rows(own.model, None).count() == 5
    assert own.log.new_rows(Model("churn"), None).count() == 7
    assert own.log.new_rows(Model("nobody"), None).count() == 0


def test_an_installation_without_tables_has_no_rows_and_no_version(tmp_path):
    own = Own(tmp_path)
    rows = own.log.new_rows(own.model, None)
    assert (rows.version, rows.count(), list(rows.batches())) == (None, 0, [])
    assert own.log.outcomes("x", AT).num_rows == 0
    assert own.log.batch_runs(AT) == []
    assert own.log.traffic("x", HOUR) == []


def test_a_source_that_is_missing_or_lacks_a_column_says_so(tmp_path):
    side = Foreign(tmp_path)
    with pytest.raises(TiltmeterError, match="no Delta table"):
        side.log.new_rows(side.model, None)
    side.add(prediction_rows(3).drop_columns(["prediction"]))
    with pytest.raises(TiltmeterError, match="no column for prediction: prediction"):
        side.log.new_rows(side.model, None)


def test_rows_changed_in_place_in_a_source_are_never_counted_twice(tmp_path):
    side = Foreign(tmp_path)
    side.add(prediction_rows(10))
    version = side.log.new_rows(side.model, None).version
    from deltalake import DeltaTable

    DeltaTable(side.path).update(updates={"prediction": "0.1"}, predicate="f_size > 5")
    with pytest.raises(TiltmeterError, match="changed rows in place"):
        side.log.new_rows(side.model, version)
