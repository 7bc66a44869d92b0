"""A real `mlflow server` on a port that the system chooses, from the folder that `make setup-test` fills."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "mlflow-server"
START_SECONDS = 400

needs_server = pytest.mark.skipif(
    not (FOLDER / ".done").exists(), reason="no MLflow server: `make setup-test` brings it"
)


@contextmanager
def mlflow_server(home, flags=("--workers=1",)):
    """Address of a server that keeps everything under `home`.

    Args:
        home: folder of its database and artifacts.
        flags: of the command line; those that say where it listens and what it keeps are ours.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    surroundings = os.environ | {
        "PYTHONPATH": f"{FOLDER}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", *flags, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    with (home / "server.log").open("wb") as out:
        server = subprocess.Popen(command, env=surroundings, stdout=out, stderr=out, cwd=home, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server, home)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _wait(address, server, home):
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError((home / "server.log").read_text()[-2000:])
