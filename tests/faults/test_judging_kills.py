"""Evaluators are killed in the middle of incidents; every alarm and every recovery is queued exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tiltmeter.domain.alert import IncidentState
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.testing.samples import SteppedClock

ROUND = 15
"""Windows of an incident of the worker: three in breach, twelve fine: seldom enough not to flap."""

WORKER = Path(__file__).with_name("judging_worker.py")


def _judge_under_kills(home: Path, *, windows: int, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    happened, ended = 0, ""
    command = [sys.executable, str(WORKER), str(home), str(windows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as nursery:
        while ended != "done":
            nursery.stdin.write("\n")
            child = int(nursery.stdout.readline())
            if happened < kills:
                time.sleep(rng.uniform(0.03, 0.25))
                with suppress(ProcessLookupError):  # it was quicker
                    os.kill(child, signal.SIGKILL)
            ended = nursery.stdout.readline().strip()
            happened += ended == "killed"
    assert happened >= kills, "the windows were judged before every kill fell: judge more of them"
    state = SqlStateStore("sqlite:state.db", SteppedClock(), home=home)
    incidents = state.incidents(open_only=False, limit=100_000)
    said = Counter((d.message.channel, d.message.kind.value, d.message.incident) for d in state.deliveries())
    state.close()
    assert len(incidents) == windows // ROUND
    assert {incident.state for incident in incidents} == {IncidentState.RESOLVED}
    expected = {
        (channel, kind, incident.id)
        for channel in ("slack", "email", "pagerduty")
        for kind in ("fired", "resolved")
        for incident in incidents
    }
    assert set(said) == expected, "an alarm or a recovery was lost"
    assert max(said.values()) == 1, "an alarm or a recovery was queued twice"
    print(f"{happened} kills in {len(incidents)} incidents: 0 repeated alarms, 0 lost recoveries")


@pytest.mark.slow
def test_a_few_kills_repeat_no_alarm_and_lose_no_recovery(tmp_path):
    _judge_under_kills(tmp_path, windows=300, kills=5, seed=1)


@pytest.mark.faults
def test_r12_fifty_kills_repeat_no_alarm_and_lose_no_recovery(tmp_path):
    _judge_under_kills(tmp_path, windows=900, kills=50, seed=2)
