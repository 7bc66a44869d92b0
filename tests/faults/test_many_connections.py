"""Ten thousand connections that ask nothing: the service stays small and answers others (reliability.md, S9)."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tiltmeter.service.home import read_ports

MAIN = [sys.executable, "-c", "from tiltmeter.cli.app import main; main()"]
MANY = 10_000
CEILING_MIB = 300


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_ten_thousand_silent_connections_cost_little_and_keep_nobody_out(tmp_path):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < MANY + 1_000:
        pytest.skip(f"needs {MANY + 1_000} open files: ulimit -n")
    configuration = tmp_path / "tiltmeter.yaml"
    configuration.write_text(f"home: {tmp_path / 'home'}\nserver: {{port: 0}}\nmodels: {{lead-scoring: {{}}}}\n")
    log = (tmp_path / "serve.log").open("w")
    service = subprocess.Popen([*MAIN, "serve", "--config", str(configuration)], stdout=log, stderr=log)
    try:
        address = _answering(tmp_path / "home", patience=60)
        place = (urlsplit(address).hostname, urlsplit(address).port)
        with ExitStack() as stack:
            for number in range(MANY):
                with suppress(ConnectionError):
                    connection = stack.enter_context(socket.create_connection(place, timeout=20))
                    connection.sendall(b"GET / HTTP/1.1\r\nhost:" if number % 2 else b"")
            peak = psutil.Process(service.pid).memory_info().rss / 2**20
            waited = _seconds_to_answer(address)
        print(f"{MANY:,} silent connections: {peak:.0f} MiB, others answered {waited:.1f} s after the last of them")
        assert peak < CEILING_MIB
        assert waited < 20
        assert service.poll() is None
    finally:
        service.terminate()
        service.wait(40)
        log.close()


def _answering(home, *, patience):
    deadline = time.monotonic() + patience
    while True:
        address = str(read_ports(home).get("serve", ""))
        with suppress(httpx.HTTPError):
            if address and httpx.get(address + "/healthz").status_code == 200:
                return address
        assert time.monotonic() < deadline, "the service does not answer"
        time.sleep(0.1)


def _seconds_to_answer(address):
    begun = time.monotonic()
    while time.monotonic() < begun + 60:
        with suppress(httpx.HTTPError):
            if httpx.get(address + "/healthz", timeout=5).status_code == 200:
                break
        time.sleep(0.1)
    return time.monotonic() - begun
