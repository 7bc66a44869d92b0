"""The MLflow server with the flags of deploy/compose.yaml takes what Tiltmeter publishes; other hosts are refused."""

from pathlib import Path

import httpx2
import pytest
import yaml

import small_home
from gate import Gate
from mlflow_server import mlflow_server, needs_server
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.window import Grain
from tiltmeter.ingest.mlflow import Tracking
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.wiring import build_world

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = [pytest.mark.slow, needs_server, pytest.mark.timeout(600)]
OURS = ("--host", "--port", "--backend-store-uri", "--artifacts-destination")


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """A server with the command line of the YAML; its port and folders are the test's."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    command = compose["services"]["mlflow"]["command"]
    assert command[:2] == ["mlflow", "server"]
    flags = [flag for flag in command[2:] if not flag.startswith(OURS)]
    with mlflow_server(tmp_path_factory.mktemp("composed"), flags) as address:
        yield address


@pytest.fixture
def as_in_the_network(composed, monkeypatch):
    """The address that deploy/tiltmeter.yaml names, reached through a proxy, so that the server reads that host."""
    gate = Gate(composed, is_proxy=True)
    gate.open()
    monkeypatch.setenv("http_proxy", gate.uri)
    monkeypatch.delenv("no_proxy", raising=False)
    configured = yaml.safe_load((DEPLOY / "tiltmeter.yaml").read_text(encoding="utf-8"))
    yield configured["mlflow"]["tracking_uri"]
    gate.shut()


def test_tiltmeter_publishes_to_the_server_of_the_composition(as_in_the_network, tmp_path):
    path = small_home.build(tmp_path / "home")
    world = build_world(load_settings(path, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    small_home.mark_judged(world, "lead-scoring", Grain.DAY)
    assert MlflowRuns(world, Tracking(as_in_the_network)).turn(small_home.END) == 5
    assert world.state.watermark("mlflow:troubles") in (None, "{}")
    world.state.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("mlflow:5000", 200), ("127.0.0.1:5000", 200), ("localhost:5000", 200),
        ("evil.example", 403), ("evil.example:5000", 403), ("mlflow.evil.example:5000", 403), ("10.0.0.7:5000", 403),
    ],
)  # fmt: skip
def test_the_server_answers_under_its_own_names_only(composed, host, status):
    question = {"max_results": 1}
    answer = httpx2.get(f"{composed}/api/2.0/mlflow/experiments/search", params=question, headers={"host": host})
    assert answer.status_code == status


def test_an_address_that_the_server_does_not_know_says_what_to_set(composed, monkeypatch):
    gate = Gate(composed, is_proxy=True)
    gate.open()
    monkeypatch.setenv("http_proxy", gate.uri)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(StoreError) as caught:
        Tracking("http://tracking.example:5000").champion("lead-scoring")
    gate.shut()
    assert "--allowed-hosts" in caught.value.hint
