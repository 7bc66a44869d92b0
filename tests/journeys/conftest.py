"""One MLflow server for all journeys that a process runs: it takes ten seconds and half a gigabyte to start."""

import os

import pytest

from mlflow_server import mlflow_server


@pytest.fixture(scope="session")
def uri(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(scope="session")
def client(uri):
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)
