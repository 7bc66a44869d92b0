"""A long pass shows how far it is, on a terminal and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.profiling.progress import LISTENER

PASS = """
import time
from tiltmeter.cli.progress import shown_progress
from tiltmeter.profiling.progress import told
with shown_progress():
    tell = told("counting /data/leads.parquet")
    begun = time.monotonic()
    while tell and time.monotonic() - begun < 1.0:
        tell(5_000, 10_000)
"""


def test_a_terminal_sees_the_rows_of_a_long_pass():
    reader, writer = os.openpty()
    done = subprocess.Popen([sys.executable, "-c", PASS], stderr=writer, env={**os.environ, "TERM": "xterm"})
    os.close(writer)
    seen = b""
    while True:
        try:
            seen += os.read(reader, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(reader)
    assert done.wait(timeout=60) == 0
    assert b"counting leads.parquet" in seen
    assert b"5000/10000" in seen


def test_a_pipe_sees_nothing():
    done = subprocess.run([sys.executable, "-c", PASS], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_fit_and_count_tell_the_listener_up_to_the_last_row():
    told: list[tuple[str, int, int | None]] = []
    token = LISTENER.set(lambda *news: told.append(news))
    try:
        rows, engine = open_rows({"size": [float(n) for n in range(700)]}), LocalEngine()
        engine.profile(rows, engine.fit(rows, ColumnRoles()))
    finally:
        LISTENER.reset(token)
    assert told == [("reading data frame", 700, 700), ("counting data frame", 700, 700)]
