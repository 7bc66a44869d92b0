"""`kill -9` of a real service under HTTP load: every answer the client got has its record, once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tiltmeter.capture.record import decode_record
from tiltmeter.capture.spool import read_segment, sealed_segments, take_over_abandoned

FOLDER = Path(__file__).parent


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(spool, port):
    command = [sys.executable, "-m", "uvicorn", "scoring_service:app", "--port", str(port), "--log-level", "error"]
    environment = os.environ | {"TILTMETER_SPOOL": str(spool)}
    service = subprocess.Popen(command, cwd=FOLDER, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return service
        time.sleep(0.05)
    service.kill()
    raise AssertionError("the service did not start")


def answered_until_killed(spool, enough, clients=4):
    """Ids of all requests that were answered before the service was killed, in the middle of the load."""
    port = free_port()
    service = started(spool, port)
    ids, stop = [], threading.Event()

    def client():
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
            while not stop.is_set():
                try:
                    answer = http.post("/score", json={"size": 1.5, "plan": "pro"})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                ids.append(answer.headers["x-request-id"])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(ids) < enough and time.monotonic() < deadline:
        stop.wait(0.001)
    os.kill(service.pid, signal.SIGKILL)
    service.wait(10)
    stop.set()
    for thread in threads:
        thread.join(10)
    return ids


def kills(spool, rounds):
    answered = []
    for number in range(rounds):
        answered += answered_until_killed(spool, 60 + 17 * (number % 5))
    take_over_abandoned(spool)
    recorded = [
        decode_record(payload).request_id
        for segment in sealed_segments(spool)
        for _, payload in read_segment(segment.path).records
    ]
    assert len(answered) >= 60 * rounds
    assert set(answered) <= set(recorded)
    assert len(recorded) == len(set(recorded))
    return len(answered), len(recorded) - len(answered)


@pytest.mark.slow
def test_two_kills_under_load_lose_no_answered_request(tmp_path):
    kills(tmp_path, 2)


@pytest.mark.faults
def test_twenty_kills_under_load_lose_no_answered_request(tmp_path):
    answered, unacknowledged = kills(tmp_path, 20)
    print(f"{answered} answers, 0 lost, 0 doubled, {unacknowledged} recorded without an answer")
