"""A real `tiltmeter serve` that is killed while it takes an outcome post: it comes again, and nothing is missing."""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.store.schema import OUTCOMES
from tiltmeter.store.snapshot import snapshot
from tiltmeter.wiring import stored_log
from waiting import until

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
MANY = 6_000
CONFIGURATION = """
version: 1
home: .
timezone: UTC
server: {keys: {outcomes: "env:OUTCOMES_KEY"}, outcomes_secret: "env:OUTCOMES_SECRET"}
models: {lead-scoring: {}}
"""


class Home:
    """An installation that takes signed posts."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        (folder / "tiltmeter.yaml").write_text(CONFIGURATION, encoding="utf-8")

    def serve(self):
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tiltmeter.cli.app", "serve", "--port", "0", "--config", "tiltmeter.yaml"],
                cwd=self.folder, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "OUTCOMES_KEY": "o", "OUTCOMES_SECRET": SECRET},
            )  # fmt: skip
        until(self._address, what=(self.folder / "serve.log").read_text(errors="replace")[-2000:])

    def _address(self):
        assert self.process.poll() is None, (self.folder / "serve.log").read_text(errors="replace")[-2000:]
        try:
            ports = json.loads((self.folder / "run" / "ports.json").read_text())
        except (OSError, ValueError):
            return ""
        return ports["serve"] if ports.get("pid") == str(self.process.pid) else ""

    def post(self, body, post_id="msg_1"):
        stamp = str(int(time.time()))
        digest = hmac.new(KEY, f"{post_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "content-type": "application/json", "authorization": "Bearer o", "webhook-id": post_id,
            "webhook-timestamp": stamp, "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }  # fmt: skip
        request = urllib.request.Request(f"{self._address()}/api/v1/outcomes", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def spooled_bytes(self):
        return sum(path.stat().st_size for path in self.folder.glob("spool/*/slot-*/*.open"))

    def ids_in_table(self):
        configuration = load_settings(
            self.folder / "tiltmeter.yaml", environ={"OUTCOMES_KEY": "o", "OUTCOMES_SECRET": SECRET}
        )
        log = stored_log(configuration, FakeClock(datetime.now(UTC)), configuration.models)
        snap = snapshot(log.table(OUTCOMES.name))
        return [] if snap is None else [i for b in snap.rows().batches(["outcome_id"]) for i in b[0].to_pylist()]


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    if made.process is not None:
        made.kill()


def told(count):
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    rows = [{"entity_id": f"lead-{n}", "converted": True, "at": at, "outcome_id": f"crm-{n}"} for n in range(count)]
    return json.dumps(rows).encode()


def sent_meanwhile(home, body):
    """The post in a thread of its own; its answer is lost."""

    def lost():
        with_answer = (OSError, urllib.error.URLError)
        try:
            home.post(body)
        except with_answer:
            return

    thread = Thread(target=lost)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "killed_from", [1, *(pytest.param(size, marks=pytest.mark.slow) for size in (50_000, 200_000, 400_000))]
)
def test_a_post_of_thousands_that_a_kill_cut_in_the_middle_is_whole_when_it_came_again(killed_from, home):
    body = told(MANY)
    home.serve()
    lost = sent_meanwhile(home, body)
    until(lambda: home.spooled_bytes() >= killed_from)
    home.kill()
    lost.join()
    home.serve()
    # Where the kill came so late that all had been kept and marked, nothing is left to accept: the table tells.
    answers = [home.post(body), home.post(body)]
    assert answers in ([(202, {"accepted": MANY}), (202, {"accepted": 0})], [(202, {"accepted": 0})] * 2)
    assert killed_from > 1 or answers[0][1] == {"accepted": MANY}
    until(lambda: len(set(home.ids_in_table())) == MANY, what="an acknowledged outcome never reached the table")


def test_a_kill_between_the_spool_and_the_mark_loses_nothing_and_doubles_nothing(home):
    body = told(3)
    home.serve()
    with closing(sqlite3.connect(home.folder / "state.db", isolation_level=None, timeout=60)) as database:
        database.execute("BEGIN IMMEDIATE")  # nobody else can write: the mark has to wait
        lost = sent_meanwhile(home, body)
        until(lambda: Counter(home.ids_in_table()) == Counter({"crm-0": 1, "crm-1": 1, "crm-2": 1}))
        home.kill()
        database.execute("ROLLBACK")
    lost.join()
    home.serve()
    assert home.post(body) == (202, {"accepted": 3})
    assert home.post(body) == (202, {"accepted": 0})
    until(lambda: len(home.ids_in_table()) == 6)  # told twice, under the same keys
    assert len(set(home.ids_in_table())) == 3
