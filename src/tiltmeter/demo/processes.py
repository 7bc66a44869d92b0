"""Processes that the demo starts, waits for and ends by their own ids."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx

from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0


def free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1 where it is free, another one where it is not.

    Raises:
        StoreError: no port can be had.
    """
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise StoreError("no port of 127.0.0.1 can be used", hint="is the network of this machine up?")


@contextmanager
def running(name: str, command: Sequence[str], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in `logs`; at the end it is told to stop and waited for.

    Args:
        name: of its log file.
        command: program and arguments.
        logs: folder of log files.
    """
    # A session of its own: Ctrl-C reaches the demo alone, which then ends its processes one by one.
    with (logs / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - programs and arguments of our own choice
            list(command), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_for(address: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Until the address answers.

    Raises:
        StoreError: the process ended, or does not answer in time; with the last line of its log.
    """
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and child.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(address, timeout=2.0).is_success:
                return
        time.sleep(0.2)
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    what = f"{address} does not answer" if child.poll() is None else f"a process ended with code {child.poll()}"
    raise StoreError(what, at=str(log), hint=words[-1][:300] if words else "its log is empty")
