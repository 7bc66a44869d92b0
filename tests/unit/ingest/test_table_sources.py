"""A table or folder of somebody else: followed by version, changes in place counted once, never written."""

import weakref
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import RowsRewritten, StoreError, TiltmeterError
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local.sources import data_files, rows_of_file
from tiltmeter.ingest.replay import Files, FolderSource
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge, observe
from tiltmeter.profiling.codec import encode_profile
from tiltmeter.store.delta import DeltaLog
from tiltmeter.wiring import build_world

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
COLUMNS = {"time": "scored_at", "entity_id": "lead_id", "prediction": "score"}
ALL = Window(START - timedelta(days=400), NOW + timedelta(days=2), Grain.LIVE)


def scores(day, rows=300, *, shift=0.0, prefix="lead"):
    """Scores of one day, spread over its hours."""
    at = START + timedelta(days=day)
    return pa.table(
        {
            "lead_id": [f"{prefix}-{day}-{place}" for place in range(rows)],
            "scored_at": pa.array(
                [at + timedelta(seconds=86_400 * place / rows) for place in range(rows)], pa.timestamp("us", tz="UTC")
            ),
            "size": [float(place % 50) + shift for place in range(rows)],
            "plan": ["web" if place % 3 else "mail" for place in range(rows)],
            "score": [place % 100 / 100 for place in range(rows)],
        }
    )


def installation(tmp_path, source, *, history="30d"):
    (tmp_path / "tiltmeter.yaml").write_text(
        "version: 1\nhome: home\nmodels:\n  m:\n"
        f"    source: {{table: {source}, columns: {{time: scored_at, entity_id: lead_id, prediction: score}}}}\n"
        f"    history: {history}\n    baselines: {{training: {{data: ../training.parquet}}}}\n",
        encoding="utf-8",
    )
    pq.write_table(scores(0, 2_000), tmp_path / "training.parquet")
    configuration = load_settings(tmp_path / "tiltmeter.yaml", environ={})
    clock = FakeClock(NOW)
    world = build_world(configuration, clock=clock, with_channels=False)
    return world, world.models["m"]


@pytest.fixture
def worlds():
    opened = []
    yield opened
    for world in opened:
        world.state.close()


def seen(world, model):
    bins = world.baselines.bins(model, NOW)
    return world.states.total("m", bins.bins_id, ALL)


def from_scratch(tmp_path, source, worlds):
    """The same source observed by an installation that never saw it before."""
    folder = tmp_path / "anew"
    folder.mkdir()
    world, model = installation(folder, source)
    worlds.append(world)
    observe(model, world)
    return seen(world, model)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "scores"
    for day in range(5):
        write_deltalake(path, scores(day), mode="append")
    return path


def test_new_versions_are_added_and_nothing_is_counted_twice(table, tmp_path, worlds):
    world, model = installation(tmp_path, table)
    worlds.append(world)
    assert len(observe(model, world).hours) == 5 * 24
    assert observe(model, world).hours == ()
    write_deltalake(table, scores(5), mode="append")
    assert len(observe(model, world).hours) == 24
    assert seen(world, model).rows == 1_800


def _merge(path):
    changed = scores(2, shift=500.0)
    DeltaTable(path).merge(
        changed, "t.lead_id = s.lead_id", source_alias="s", target_alias="t"
    ).when_matched_update_all().execute()


@pytest.mark.parametrize(
    "change",
    [
        _merge,
        lambda path: DeltaTable(path).update({"size": "size + 7"}, predicate="plan = 'mail'"),
        lambda path: DeltaTable(path).delete("lead_id = 'lead-2-7'"),
        lambda path: write_deltalake(path, scores(1, 100, shift=9.0), mode="overwrite", predicate=_FIRST_DAY),
    ],
    ids=["merge", "update", "delete", "overwrite"],
)
def test_rows_changed_in_place_are_profiled_as_they_are_now(change, table, tmp_path, worlds):
    world, model = installation(tmp_path, table)
    worlds.append(world)
    observe(model, world)
    change(table)
    write_deltalake(table, scores(6), mode="append")
    observe(model, world)
    assert observe(model, world).hours == ()
    write_deltalake(table, scores(7), mode="append")
    observe(model, world)
    assert encode_profile(seen(world, model)) == encode_profile(from_scratch(tmp_path, table, worlds))


_FIRST_DAY = "scored_at >= '2026-03-02T00:00:00Z' AND scored_at < '2026-03-03T00:00:00Z'"


def test_compaction_and_vacuum_change_nothing(table, tmp_path, worlds):
    world, model = installation(tmp_path, table)
    worlds.append(world)
    observe(model, world)
    DeltaTable(table).optimize.compact()
    DeltaTable(table).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert observe(model, world).hours == ()
    assert seen(world, model).rows == 1_500


def test_a_table_that_was_made_anew_replaces_the_old_one(table, tmp_path, worlds):
    import shutil

    world, model = installation(tmp_path, table)
    worlds.append(world)
    observe(model, world)
    shutil.rmtree(table)
    for day in (3, 4):
        write_deltalake(table, scores(day, 200, shift=3.0), mode="append")
    world, model = installation(tmp_path, table)  # a restart: the kept handle knew the old table
    worlds.append(world)
    observe(model, world)
    assert encode_profile(seen(world, model)) == encode_profile(from_scratch(tmp_path, table, worlds))


@pytest.fixture
def grown(table, tmp_path, worlds):
    """A model that was observed, whose table grew by two days since, and the log entry of the first of them."""
    world, model = installation(tmp_path, table)
    worlds.append(world)
    observe(model, world)
    write_deltalake(table, scores(5), mode="append")
    DeltaTable(table).create_checkpoint()
    write_deltalake(table, scores(6), mode="append")
    return world, model, table / "_delta_log" / f"{5:020d}.json"


def test_a_log_that_forgot_its_versions_is_read_again(grown, table, tmp_path, worlds):
    world, model, entry = grown
    entry.unlink()
    observe(model, world)
    assert encode_profile(seen(world, model)) == encode_profile(from_scratch(tmp_path, table, worlds))


def test_history_is_filled_from_its_first_day_and_never_moves(table, tmp_path, worlds):
    world, model = installation(tmp_path, table, history="2d")
    worlds.append(world)
    first = observe(model, world).hours[0]
    assert first == START + timedelta(days=2)  # the newest row is of day 4
    assert world.log.first_row(model) == first
    write_deltalake(table, scores(8), mode="append")
    write_deltalake(table, scores(1, prefix="late"), mode="append")
    assert [hour.date().day for hour in observe(model, world).hours][:1] == [9]
    assert seen(world, model).rows == 1_200


def test_a_row_from_the_future_does_not_cut_the_history(table, tmp_path, worlds):
    write_deltalake(table, scores(4_000, 1), mode="append")
    world, model = installation(tmp_path, table, history="30d")
    worlds.append(world)
    assert len(observe(model, world).hours) == 5 * 24 + 1


@pytest.mark.parametrize(
    "cast",
    [
        lambda t: t.cast(pa.timestamp("us")),
        lambda t: t.cast(pa.timestamp("us")).cast(pa.string()),
        lambda t: pa.array([moment.isoformat() for moment in t.to_pylist()]),
        lambda t: pa.array([moment.timestamp() for moment in t.to_pylist()]),
    ],
    ids=["naive", "text", "text with offset", "epoch seconds"],
)
def test_times_of_every_kind_cut_the_same_windows(cast, tmp_path):
    path = tmp_path / "scores"
    for day in range(2):
        rows = scores(day)
        place = rows.schema.get_field_index("scored_at")
        write_deltalake(path, rows.set_column(place, "scored_at", cast(rows["scored_at"])), mode="append")
    model = Model("m", source=TableSource(str(path), COLUMNS))
    log = DeltaLog(tmp_path, FakeClock())
    hour = Window(START + timedelta(hours=26), START + timedelta(hours=28), Grain.LIVE)
    assert log.rows(model, hour).count() == 25
    assert log.new_rows(model, None, START + timedelta(days=1)).count() == 300


def test_the_table_is_never_written(table, tmp_path, worlds):
    before = {path: path.stat().st_mtime_ns for path in table.rglob("*")}
    world, model = installation(tmp_path, table)
    worlds.append(world)
    observe(model, world)
    world.log.sample("m", ALL, {}, 3)
    assert {path: path.stat().st_mtime_ns for path in table.rglob("*")} == before


# ---- folders


def write(kind, folder, day, rows):
    folder.mkdir(exist_ok=True)
    if kind == "csv":
        pa.csv.write_csv(rows, folder / f"{day}.csv")
    elif kind == "parquet":
        pq.write_table(rows, folder / f"{day}.parquet")
    else:
        lines = [
            f'{{"lead_id": "{r["lead_id"]}", "scored_at": "{r["scored_at"].isoformat()}", "size": {r["size"]}, '
            f'"plan": "{r["plan"]}", "score": {r["score"]}}}'
            for r in rows.to_pylist()
        ]
        (folder / f"{day}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=["csv", "parquet", "jsonl"])
def kind(request):
    return request.param


def test_a_folder_of_files_gives_what_the_table_gives(kind, table, tmp_path, worlds):
    folder = tmp_path / "files"
    for day in range(3):
        write(kind, folder, day, scores(day))
    world, model = installation(tmp_path, folder)
    worlds.append(world)
    observe(model, world)
    for day in (3, 4):
        write(kind, folder, day, scores(day))
    assert len(observe(model, world).hours) == 48
    assert observe(model, world).hours == ()
    assert encode_profile(seen(world, model)) == encode_profile(from_scratch(tmp_path, table, worlds))


def test_a_file_that_grew_is_counted_once(kind, tmp_path, worlds):
    folder = tmp_path / "files"
    write(kind, folder, 0, scores(0, 100))
    write(kind, folder, 1, scores(1))
    world, model = installation(tmp_path, folder)
    worlds.append(world)
    observe(model, world)
    write(kind, folder, 0, scores(0, 260))
    observe(model, world)
    assert seen(world, model).rows == 560
    assert observe(model, world).hours == ()


def test_a_broken_file_waits_and_the_others_are_read(tmp_path, worlds):
    folder = tmp_path / "files"
    write("parquet", folder, 0, scores(0))
    whole = (folder / "0.parquet").read_bytes()
    (folder / "1.parquet").write_bytes(whole[: len(whole) // 2])
    world, model = installation(tmp_path, folder)
    worlds.append(world)
    observe(model, world)
    assert seen(world, model).rows == 300
    write("parquet", folder, 1, scores(1))
    observe(model, world)
    assert seen(world, model).rows == 600


def test_a_folder_without_one_readable_file_is_an_error_with_its_name(tmp_path, worlds):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "0.csv").write_text("a,b\n1,2\n")
    world, model = installation(tmp_path, folder)
    worlds.append(world)
    with pytest.raises(TiltmeterError, match="none of 1 files can be read"):
        observe(model, world)


def test_a_lost_ledger_is_noticed_and_everything_is_profiled_anew(tmp_path, worlds):
    folder = tmp_path / "files"
    for day in range(3):
        write("csv", folder, day, scores(day))
        world, model = installation(tmp_path, folder)
        worlds.append(world)
        observe(model, world)
    for ledger in (tmp_path / "home" / "sources").glob("*.jsonl"):
        ledger.unlink()
    observe(model, world)
    assert seen(world, model).rows == 900


def test_a_single_file_is_a_source_too(tmp_path, worlds):
    pa.csv.write_csv(scores(0), tmp_path / "scores.csv")
    world, model = installation(tmp_path, tmp_path / "scores.csv")
    worlds.append(world)
    assert len(observe(model, world).hours) == 24
    pa.csv.write_csv(scores(0, 301), tmp_path / "scores.csv")
    with pytest.raises(RowsRewritten):
        world.log.new_rows(model, 1)


def test_an_entry_that_cannot_be_read_just_now_costs_nothing_that_was_counted(grown, table, tmp_path, worlds):
    world, model, entry = grown
    held = entry.read_bytes()
    entry.unlink()
    entry.mkdir()  # reading it fails, and not because it is gone
    with pytest.raises(StoreError, match="cannot be read now") as told:
        observe(model, world)
    assert told.value.retryable
    entry.rmdir()
    entry.write_bytes(held)
    assert len(observe(model, world).hours) == 48
    assert encode_profile(seen(world, model)) == encode_profile(from_scratch(tmp_path, table, worlds))


def test_a_ledger_line_that_was_cut_off_is_written_again(tmp_path, worlds):
    folder = tmp_path / "files"
    for day in range(3):
        write("csv", folder, day, scores(day))
        world, model = installation(tmp_path, folder)
        worlds.append(world)
        observe(model, world)
    (ledger,) = (tmp_path / "home" / "sources").glob("*.jsonl")
    ledger.write_bytes(ledger.read_bytes()[:-20])
    observe(model, world)
    assert seen(world, model).rows == 900
    assert len(ledger.read_bytes().splitlines()) == 3


def test_a_folder_larger_than_memory_is_read_file_by_file(tmp_path):
    folder = tmp_path / "files"
    for day in range(6):
        write("csv", folder, day, scores(day))
    alive = weakref.WeakSet()
    most = 0

    def rows(root, path):
        opened = rows_of_file(root, path)
        alive.add(opened)
        return opened

    model = Model("m", source=TableSource(str(folder), columns=COLUMNS))
    source = FolderSource.of(model, tmp_path, Files(data_files, rows))
    source.kept_bytes = 1
    counted = 0
    for batch in source.new_rows(None).batches(["size"]):
        counted += batch.num_rows
        most = max(most, len(alive))
    assert (counted, most) == (1_800, 1)
    assert source.rows(Window(START, START + timedelta(days=2), Grain.LIVE)).count() == 600


def test_a_column_without_a_name_is_a_feature_as_any_other(tmp_path, worlds):
    folder = tmp_path / "leads"
    folder.mkdir()
    nameless = [*scores(0).column_names[:2], "", *scores(0).column_names[3:]]
    for day in (1, 2):
        pyarrow.csv.write_csv(scores(day, shift=500.0).rename_columns(nameless), folder / f"{day}.csv")
    world, model = installation(tmp_path, "../leads")
    worlds.append(world)
    pq.write_table(scores(0, 2_000).rename_columns(nameless), tmp_path / "training.parquet")
    observe(model, world)
    total = seen(world, model)
    assert (total.rows, total.features['""'].rows) == (600, 600)
    judge(MONITORS.load("drift"), model, Window(START + DAY, START + 2 * DAY, Grain.DAY), world)
    alerts = world.state.alerts("m", open_only=False).values()
    assert {(one.rule, one.subject.feature) for one in alerts if one.severity >= Severity.WARNING} == {
        ("feature_psi", '""')
    }
