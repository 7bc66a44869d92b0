"""A real MLflow server: series and summary runs, each once; baselines by alias; a dead server delays nothing."""

import json
import os
import socket
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

import small_home
from mlflow_server import FOLDER, mlflow_server
from tables import FakeClock
from tiltmeter.api import Baseline
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.domain.window import Grain
from tiltmeter.ingest.mlflow import Tracking, clean_names
from tiltmeter.monitors.registered import judged_mark
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.wiring import build_world

MODEL = "lead-scoring"
needs_server = pytest.mark.skipif(
    not (FOLDER / ".done").exists(), reason="no MLflow server: `make setup-test` brings it"
)
pytestmark = [
    pytest.mark.timeout(600),  # the first test waits for the server, which migrates its own database first
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="module")
def client(uri):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


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
    world.state.set_watermark(judged_mark("drift", model, Grain.DAY), small_home.END.isoformat())
    return world


def runs_of(client, kind, model=MODEL):
    found = client.get_experiment_by_name(f"{model}/monitoring")
    wanted = f"tags.`tiltmeter.kind` = '{kind}'"
    return client.search_runs([found.experiment_id], wanted, order_by=["attributes.start_time"])


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
    assert [run.info.run_name for run in summaries] == [f"day 2026-03-0{day}" for day in range(4, 9)]
    assert {run.info.status for run in summaries} == {"FINISHED"}
    (series,) = runs_of(client, "series", model)
    points = client.get_metric_history(series.info.run_id, "drift_psi/source")
    assert [point.step for point in points] == [20516 + day for day in range(5)]  # days since 1970
    assert points[-1].value > 0.25 > points[0].value  # the planted level
    assert series.data.metrics["0_overview/rows"] == 24 * small_home.HOURLY
    assert summaries[-1].data.tags["severity"] in ("warning", "critical")


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
    done = tracking.find_run(f"{MODEL}/monitoring", tags)
    if done is not None:
        tracking.delete_run(done.info.run_id)
    tracking.start_run(f"{MODEL}/monitoring", "day 2026-03-08", tags, 1)
    world.state.set_watermark(f"mlflow:day:{MODEL}", (small_home.END - timedelta(days=1)).isoformat())
    assert MlflowRuns(world, tracking).turn(small_home.END) == 1
    (run,) = [r for r in runs_of(client, "summary") if r.info.run_name == "day 2026-03-08"]
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
    client.create_registered_model(name)
    run_id = client.create_run("0").info.run_id
    client.create_model_version(name, f"runs:/{run_id}/model", run_id)
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
