"""The state store keeps its contract on SQLite, in a file and in memory, and on PostgreSQL where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tiltmeter.ports import StateStore
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import SteppedClock
from tiltmeter.testing.state_contract import StateContract


class TestSqliteFile(StateContract):
    @pytest.fixture
    def store(self, clock: SteppedClock, tmp_path: Path):
        store = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
        yield store
        store.close()


class TestSqliteInMemory(StateContract):
    @pytest.fixture
    def store(self, clock: SteppedClock):
        store = SqlStateStore("sqlite:", clock)
        yield store
        store.close()


@pytest.fixture(scope="module")
def postgres():
    """A server of our own on a socket in a folder of our own."""
    pytest.importorskip("psycopg", reason='the PostgreSQL driver is not installed: pip install "tiltmeter[postgres]"')
    binaries = shutil.which("initdb") and Path(shutil.which("initdb")).parent
    if not binaries:
        pytest.skip("no PostgreSQL server is installed here: initdb is not on the PATH")
    # Not below pytest's own folder, which only root may enter: the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="tiltmeter-postgres-"))
    account = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    if account:
        folder.chmod(0o755)
        shutil.chown(folder, "nobody")
    data = folder / "data"
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(
        [*account, str(binaries / "initdb"), "-D", str(data), "-U", "tiltmeter", "-A", "trust", "-N"],
        check=True, capture_output=True, env=env, cwd=folder,
    )  # fmt: skip
    server = subprocess.Popen(
        [*account, str(binaries / "postgres"), "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    import psycopg

    address = f"host={folder} user=tiltmeter dbname=postgres"
    for _ in range(200):
        try:
            psycopg.connect(address).close()
            break
        except psycopg.OperationalError:
            if server.poll() is not None:
                pytest.fail("the PostgreSQL server ended at once")
            server_wait(server)
    yield f"postgresql://tiltmeter@/postgres?host={folder}"
    server.terminate()
    server.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


def server_wait(server: subprocess.Popen) -> None:
    try:
        server.wait(0.1)
    except subprocess.TimeoutExpired:
        return


class TestPostgres(StateContract):
    @pytest.fixture
    def store(self, clock: SteppedClock, postgres: str) -> StateStore:
        store = SqlStateStore(postgres, clock)
        yield store
        from sqlalchemy import text

        with store._database.write() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        store.close()
