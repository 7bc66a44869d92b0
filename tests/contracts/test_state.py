"""The state store keeps its contract on SQLite, in a file and in memory, and on PostgreSQL where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.ports import StateStore
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import HOUR, T0, SteppedClock, sample_message, sample_run, sample_window
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

    def test_25_four_workers_claim_every_message_once(self, store: StateStore, clock: SteppedClock) -> None:
        store.enqueue([sample_message(incident=f"inc_{number}") for number in range(80)])
        claimed: list[str] = []

        def work(holder: str) -> None:
            while found := store.claim(clock.now(), holder=holder, channels=["slack"], lease=HOUR):
                claimed.append(found.message.delivery_id)
                store.settle(found, DeliveryStatus.SENT, holder=holder, now=clock.now())

        _at_once(lambda: work("a"), lambda: work("b"), lambda: work("c"), lambda: work("d"))
        assert len(claimed) == len(set(claimed)) == 80

    def test_25_two_evaluators_judge_every_window_once(self, store: StateStore) -> None:
        done: list[bool] = []

        def judge() -> None:
            for number in range(20):
                at = sample_window(T0 + number * HOUR)
                run = sample_run(at=at, messages=(sample_message(incident=f"inc_{number}"),))
                while True:
                    try:
                        done.append(store.commit(run))
                        break
                    except StoreError as error:
                        if not error.retryable:
                            raise

        _at_once(judge, judge)
        assert sorted(done) == [False] * 20 + [True] * 20
        assert len(store.deliveries()) == 20


def _at_once(*calls: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for running in [pool.submit(call) for call in calls]:
            running.result(60)
