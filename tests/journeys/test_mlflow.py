"""A real MLflow server: series and summary runs, each once; baselines by alias; a dead server delays nothing."""

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from deltalake import write_deltalake

import small_home
from gate import Gate
from mlflow_server import needs_server
from tables import FakeClock
from tiltmeter.api import Baseline
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.domain.window import Grain
from tiltmeter.ingest.mlflow import Tracking, reference_of
from tiltmeter.ingest.mlflow_limits import clean_names
from tiltmeter.service.mlflow_runs import LEASE_TIME, MlflowRuns
from tiltmeter.service.running import Service
from tiltmeter.wiring import build_world
from waiting import until

MODEL = "lead-scoring"

pytestmark = [
    pytest.mark.timeout(600),  # the first test waits for the server, which migrates its own database first
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return small_home.build(tmp_path_factory.mktemp("home"))


@pytest.fixture
def world(home):
    opened = world_of(home)
    yield opened
    opened.state.close()


def world_of(path, model=MODEL):
    world = build_world(load_settings(path, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    small_home.mark_judged(world, model, Grain.DAY)
    return world


def runs_of(client, kind, model=MODEL):
    found = client.get_experiment_by_name(f"{model}/monitoring")
    wanted = f"tags.`tiltmeter.kind` = '{kind}'"
    return client.search_runs([found.experiment_id], wanted, order_by=["attributes.start_time"])


def register(client, name):
    """A registered model whose version 1 comes from a run that logged nothing."""
    client.create_registered_model(name)
    run_id = client.create_run("0").info.run_id
    client.create_model_version(name, f"runs:/{run_id}/model", run_id)


@pytest.mark.slow
@needs_server
def test_judged_days_are_there_once_however_often_they_are_published(uri, client, tmp_path):
    model = "published-once"  # a series only grows, so this one is nobody else's
    world = world_of(small_home.build(tmp_path / "home", model=model), model)
    assert MlflowRuns(world, Tracking(uri)).turn(small_home.END) == 5
    assert MlflowRuns(world, Tracking(uri)).turn(small_home.END) == 0
    world.state.set_watermark(f"mlflow:day:{model}", (small_home.END - timedelta(days=3)).isoformat())
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)  # a crash before the mark was kept
    world.state.close()
    summaries = runs_of(client, "summary", model)
    assert [run.data.tags["tiltmeter.window"] for run in summaries] == [f"day 2026-03-0{day}" for day in range(4, 9)]
    assert {run.info.status for run in summaries} == {"FINISHED"}
    (series,) = runs_of(client, "series", model)
    points = client.get_metric_history(series.info.run_id, "drift_psi/source")
    assert [point.step for point in points] == [20516 + day for day in range(5)]  # days since 1970
    assert points[-1].value > 0.25 > points[0].value  # the planted level
    assert series.data.metrics["0_overview/rows"] == 24 * small_home.HOURLY
    assert summaries[-1].data.tags["severity"] in ("warning", "critical")
    assert summaries[0].info.run_name.startswith("2026-03-04 ")
    last = summaries[-1].data.tags["severity"]
    assert summaries[-1].info.run_name.endswith(last)
    assert summaries[-1].data.tags["mlflow.note.content"].split("**")[1] == last
    said = {one.tags[0].value: one.dataset for one in summaries[-1].inputs.dataset_inputs}
    assert said["scored"].name == model
    assert json.loads(said["scored"].profile) == {"num_rows": 24 * small_home.HOURLY}
    assert said["baseline"].name == "baseline training"
    assert series.data.tags["mlflow.note.content"].startswith("2026-03-08: ")


@pytest.mark.slow
@needs_server
def test_a_summary_brings_table_states_and_report(uri, client, world, tmp_path):
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)
    last = runs_of(client, "summary")[-1]
    folder = Path(client.download_artifacts(last.info.run_id, "", str(tmp_path)))
    table = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    assert table["columns"][0] == "feature"
    assert table["data"][0][0] == "source"
    assert "partner-x" in (folder / "report.html").read_text(encoding="utf-8")
    assert Baseline.load(folder / "states" / "window.tmb").reference.profile.rows == 24 * small_home.HOURLY


@pytest.mark.slow
@needs_server
def test_a_summary_that_a_crash_left_is_written_anew(uri, client, world):
    tracking = Tracking(uri)
    tags = {"tiltmeter.kind": "summary", "tiltmeter.model": MODEL, "tiltmeter.window": "day 2026-03-08"}
    for done in tracking.find_runs(f"{MODEL}/monitoring", tags):
        tracking.delete_run(done.info.run_id)
    tracking.start_run(f"{MODEL}/monitoring", "day 2026-03-08", tags, 1)
    world.state.set_watermark(f"mlflow:day:{MODEL}", (small_home.END - timedelta(days=1)).isoformat())
    assert MlflowRuns(world, tracking).turn(small_home.END) == 1
    (run,) = [r for r in runs_of(client, "summary") if r.data.tags["tiltmeter.window"] == "day 2026-03-08"]
    assert run.info.status == "FINISHED"


@pytest.mark.slow
@needs_server
def test_the_champions_training_data_judge_and_a_new_champion_brings_its_own(uri, client, tmp_path, monkeypatch):
    import mlflow

    import tiltmeter

    path = small_home.build(tmp_path / "home")
    registered = f'{{training: {{mlflow: "models:/{MODEL}@champion"}}}}'
    text = path.read_text().replace("{training: {data: training.csv}}", registered)
    path.write_text(f"{text}mlflow: {{tracking_uri: {uri}}}\n")
    frame = pd.read_csv(path.parent / "training.csv")
    mlflow.set_tracking_uri(uri)
    client.create_registered_model(MODEL)
    for version, rows in ((1, frame), (2, frame.assign(company_size=frame.company_size * 3))):
        with mlflow.start_run() as run:
            tiltmeter.log_baseline(rows, score="score")
        client.create_model_version(MODEL, f"runs:/{run.info.run_id}/model", run.info.run_id)
        assert version in (1, 2)
    client.set_registered_model_alias(MODEL, "champion", "1")
    world = world_of(path)
    model = world.models[MODEL]
    first = world.baselines.bins(model, small_home.END)
    assert set(first.features) == {"company_size", "source", "__score"}
    client.set_registered_model_alias(MODEL, "champion", "2")
    assert world.baselines.bins(model, small_home.END).bins_id == first.bins_id  # nobody looked yet
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)
    assert world.baselines.bins(model, small_home.END).bins_id != first.bins_id
    assert world.state.watermark(f"champion:{MODEL}") == "2"
    world.state.close()


@pytest.mark.slow
@needs_server
def test_the_registered_version_is_tagged(uri, client, world):
    name = "tagged"
    register(client, name)
    assert Tracking(uri).tag_version(name, "1", {"monitoring.status": "critical"})
    assert client.get_model_version(name, "1").tags["monitoring.status"] == "critical"
    assert not Tracking(uri).tag_version(name, "77", {"monitoring.status": "critical"})
    assert not Tracking(uri).tag_version("nobody", "1", {"monitoring.status": "critical"})


@pytest.mark.slow
@needs_server
@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("models:/nobody@champion", StoreError, "nobody"),
        ("models:/nobody/3", StoreError, "nobody"),
        ("lead-scoring", UsageError, "names no registered model"),
    ],
)
def test_an_address_that_means_nothing_says_so(uri, address, error, said):
    with pytest.raises(error, match=said):
        Tracking(uri).registered(address)


def test_a_dead_server_is_an_error_of_a_moment_and_marks_nothing(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        runs = MlflowRuns(world, Tracking(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        world.state.set_watermark(f"mlflow:day:{MODEL}", (small_home.END - timedelta(days=1)).isoformat())
        with pytest.raises(StoreError, match="MLflow did not do it"):
            runs.turn(small_home.END)
    assert world.state.watermark(f"mlflow:day:{MODEL}") == (small_home.END - timedelta(days=1)).isoformat()


def test_hostile_names_become_names_that_mlflow_takes():
    cleaned = clean_names({"drift/a@b": 1.0, "drift/a b": 2.0, "drift/a_b": 3.0, "x/../y": 4.0, "n": float("nan")})
    assert sorted(cleaned.values()) == [1.0, 2.0, 3.0, 4.0]
    assert all("@" not in name and ".." not in name.split("/") for name in cleaned)
    long = clean_names({"a" * 300: 1.0, "a" * 299 + "b": 2.0})
    assert len(long) == 2
    assert max(map(len, long)) <= 250


class Deeds:
    """The stop signal of a publisher that ends after some waits; before each turn something is done."""

    def __init__(self, *deeds):
        self.deeds, self.seconds, self.is_over = list(deeds), [], False

    def is_set(self):
        return self.is_over

    def wait(self, seconds):
        self.seconds.append(seconds)
        if self.deeds:
            self.deeds.pop(0)()
        else:
            self.is_over = True


def points_of(client, model, metric="0_overview/rows"):
    (series,) = runs_of(client, "series", model)
    return [point.step for point in client.get_metric_history(series.info.run_id, metric)]


FIVE_DAYS = [20516 + day for day in range(5)]


@pytest.mark.slow
@needs_server
def test_a_server_that_was_away_is_caught_up_with_when_it_is_back(uri, client, tmp_path):
    gate, model = Gate(uri), "was-away"
    world = world_of(small_home.build(tmp_path / "home", model=model), model)
    stop = Deeds(lambda: None, gate.open)
    MlflowRuns(world, Tracking(gate.uri)).run(stop)
    gate.shut()
    assert stop.seconds == [120.0, 240.0, 60.0]  # asked less and less often, and every minute once it answers
    assert len(runs_of(client, "summary", model)) == 5
    assert points_of(client, model) == FIVE_DAYS
    assert world.state.watermark(f"mlflow:day:{model}") == small_home.END.isoformat()
    world.state.close()


@pytest.mark.slow
@needs_server
def test_an_answer_that_is_lost_makes_no_run_and_no_point_twice(uri, client, tmp_path):
    """The server did what it was asked and the publisher never heard of it, at a place that moves through its calls."""
    gate, model = Gate(uri), "answers-lost"
    world = world_of(small_home.build(tmp_path / "home", model=model), model)
    stop = Deeds(*(lambda answers=answers: gate.open(answers=answers) for answers in range(1, 14)), gate.open)
    MlflowRuns(world, Tracking(gate.uri)).run(stop)
    gate.shut()
    assert stop.seconds[0] == 120.0
    summaries = runs_of(client, "summary", model)
    assert [run.data.tags["tiltmeter.window"] for run in summaries] == [f"day 2026-03-0{day}" for day in range(4, 9)]
    assert {run.info.status for run in summaries} == {"FINISHED"}
    assert points_of(client, model) == FIVE_DAYS
    world.state.close()


@pytest.mark.slow
@needs_server
def test_of_two_processes_on_one_state_only_the_one_with_the_lease_publishes(uri, client, tmp_path):
    model = "two-processes"
    world = world_of(small_home.build(tmp_path / "home", model=model), model)
    one, other = (MlflowRuns(world, Tracking(uri), holder) for holder in ("one", "other"))
    assert one.turn(small_home.END) == 5
    world.state.set_watermark(f"mlflow:day:{model}", (small_home.END - timedelta(days=3)).isoformat())
    assert other.turn(small_home.END) == 0
    assert world.state.watermark(f"mlflow:day:{model}") != small_home.END.isoformat()  # it did not even look
    later = small_home.END + 2 * LEASE_TIME  # the first one died
    other.turn(later)
    assert world.state.watermark(f"mlflow:day:{model}") == small_home.END.isoformat()
    one.turn(later + 2 * LEASE_TIME)  # and is back, with what it remembers from before
    assert points_of(client, model) == FIVE_DAYS
    assert len(runs_of(client, "summary", model)) == 5
    world.state.close()


@pytest.mark.slow
@needs_server
def test_a_running_service_publishes_and_its_successor_publishes_nothing_twice(uri, client, tmp_path):
    model, end = "in-serve", datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    path = small_home.build(tmp_path / "home", model=model, end=end)
    path.write_text(f"{path.read_text()}mlflow: {{tracking_uri: {uri}}}\n")
    configuration = load_settings(path, environ={})
    mark = f"mlflow:day:{model}"
    for begin in (None, end - timedelta(days=3)):  # the second finds a mark as a crash would have left it
        world = build_world(configuration, with_channels=False)
        small_home.mark_judged(world, model, Grain.DAY, end)
        if begin is not None:
            world.state.set_watermark(mark, begin.isoformat())
        service = Service(configuration, port=0)
        service.start()
        try:
            until(lambda world=world: world.state.watermark(mark) == end.isoformat(), 120)
        finally:
            service.stop()
            world.state.close()
    summaries = runs_of(client, "summary", model)
    days = [(end - timedelta(days=back)).strftime("day %Y-%m-%d") for back in range(5, 0, -1)]
    windows = [run.data.tags["tiltmeter.window"] for run in summaries]
    assert [window for window in windows if window.startswith("day")] == days
    assert {run.info.status for run in summaries} == {"FINISHED"}
    assert len(points_of(client, model)) == 5


@pytest.mark.slow
@needs_server
@pytest.mark.filterwarnings("ignore:The specified dataset source can be interpreted:UserWarning")
@pytest.mark.parametrize("kind", ["file", "delta"])
def test_a_version_without_a_baseline_is_judged_against_the_data_its_training_named(uri, client, tmp_path, kind):
    import mlflow
    from mlflow.data.delta_dataset_source import DeltaDatasetSource

    name = f"named-its-data-{kind}"
    path = small_home.build(tmp_path / "home", model=name)
    frame = pd.read_csv(path.parent / "training.csv")
    source = str(path.parent / "training.csv")
    if kind == "delta":
        other = frame.assign(company_size=frame.company_size * 3)
        for rows in (other, frame, other):  # the training named the second version
            write_deltalake(str(tmp_path / "table"), rows, mode="overwrite")
        source = DeltaDatasetSource(path=str(tmp_path / "table"), delta_table_version=1)
    registered = f'{{training: {{mlflow: "models:/{name}@champion"}}}}'
    text = path.read_text().replace("{training: {data: training.csv}}", registered)
    path.write_text(f"{text}mlflow: {{tracking_uri: {uri}}}\n")
    mlflow.set_tracking_uri(uri)
    client.create_registered_model(name)
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, source=source), context="training")
    client.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias(name, "champion", "1")
    world = world_of(path, name)
    bins = world.baselines.bins(world.models[name], small_home.END)
    world.state.close()
    expected = Baseline.fit(frame, score="score").reference.bins
    assert bins.features["company_size"].cells.edges.tolist() == expected.features["company_size"].cells.edges.tolist()
    assert set(bins.features) == {"company_size", "source", "__score"}


@pytest.mark.slow
@needs_server
def test_a_version_that_names_neither_says_what_its_training_has_to_log(uri, client, tmp_path):
    name = "names-nothing"
    register(client, name)
    tracking = Tracking(uri)
    with pytest.raises(StoreError, match="version 1 of names-nothing brings no baseline") as caught:
        reference_of(tracking, tracking.registered(f"models:/{name}/1"), lambda place: pytest.fail(place))  # noqa: PLW0108
    assert "tiltmeter.log_baseline" in caught.value.hint
