"""One model or alias that MLflow refuses stops no other one, is said, and is tried again."""

from datetime import timedelta

import pytest

import small_home
from mlflow_server import needs_server
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.window import Grain
from tiltmeter.ingest.mlflow import Tracking
from tiltmeter.service.doctor import examine
from tiltmeter.service.findings import State
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.service.mlflow_troubles import LONGEST_WAIT, kept_troubles
from tiltmeter.wiring import build_world

pytestmark = [pytest.mark.slow, needs_server, pytest.mark.timeout(600)]
FIVE = [f"day 2026-03-0{day}" for day in range(4, 9)]


def home_of(folder, model, uri, *, more=""):
    """A small home whose further models stand before the one that has rows."""
    path = small_home.build(folder, model=model)
    text = path.read_text().replace("models:\n", f"mlflow: {{tracking_uri: {uri}}}\nmodels:\n{more}")
    path.write_text(text)
    return load_settings(path, environ={})


def world_of(configuration, *models):
    world = build_world(configuration, clock=FakeClock(small_home.END), with_channels=False)
    for model in models:
        small_home.mark_judged(world, model, Grain.DAY)
    return world


def days_of(client, model):
    found = client.get_experiment_by_name(f"{model}/monitoring")
    runs = client.search_runs([found.experiment_id], "tags.`tiltmeter.kind` = 'summary'", order_by=["start_time"])
    return [run.data.tags["tiltmeter.window"] for run in runs if run.info.status == "FINISHED"]


def wrong_findings(configuration):
    return [found for found in examine(configuration) if found.part == "mlflow" and found.state is State.WRONG]


def test_an_alias_that_is_not_set_yet_stops_no_other_model_and_is_followed_once_it_is(uri, client, tmp_path):
    address = "models:/alias-to-come@champion"
    further = f'  alias-to-come: {{baselines: {{training: {{mlflow: "{address}"}}}}}}\n'
    configuration = home_of(tmp_path / "home", "beside-an-alias", uri, more=further)
    world = world_of(configuration, "beside-an-alias", "alias-to-come")
    runs = MlflowRuns(world, Tracking(uri))
    assert runs.turn(small_home.END) == 5
    assert days_of(client, "beside-an-alias") == FIVE
    assert address in kept_troubles(world.state)
    (found, *_) = [one for one in wrong_findings(configuration) if one.says.startswith(address)]
    assert "alias-to-come" in found.says
    client.create_registered_model("alias-to-come")
    run_id = client.create_run("0").info.run_id
    client.create_model_version("alias-to-come", f"runs:/{run_id}/model", run_id)
    client.set_registered_model_alias("alias-to-come", "champion", "1")
    runs.turn(small_home.END + timedelta(minutes=1))
    assert address not in kept_troubles(world.state)
    assert world.state.watermark(f"registered:{address}") == "1"
    world.state.close()


def test_a_model_that_the_server_refuses_is_said_tried_less_often_and_made_up_for(uri, client, tmp_path):
    model = "experiment-deleted"
    configuration = home_of(tmp_path / "home", model, uri)
    experiment = client.create_experiment(f"{model}/monitoring")
    client.delete_experiment(experiment)
    world = world_of(configuration, model)
    runs = MlflowRuns(world, Tracking(uri))
    assert runs.turn(small_home.END) == 0
    (about,) = kept_troubles(world.state)
    assert about.startswith(model)
    assert "restore" in wrong_findings(configuration)[0].says
    client.restore_experiment(experiment)
    runs.turn(small_home.END + timedelta(minutes=1))
    assert days_of(client, model) == []
    assert runs.turn(small_home.END + LONGEST_WAIT) == 5
    assert days_of(client, model) == FIVE
    assert wrong_findings(configuration) == []
    world.state.close()


def test_no_error_names_the_password_of_the_address(tmp_path):
    tracking = Tracking("http://reader:hunter2@127.0.0.1:1/")
    assert not tracking.answers()
    with pytest.raises(StoreError) as caught:
        tracking.champion("any")
    assert "hunter2" not in str(caught.value)
    assert "reader" not in str(caught.value)
