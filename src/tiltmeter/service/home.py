"""One service per home: the lock, and the file by which others find its addresses."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

PORTS_FILE = "run/ports.json"
LOCK_FILE = "run/serve.lock"


@dataclass(slots=True)
class HomeLock:
    """Held for the life of the process; the kernel gives it back however the process ends.

    Args:
        descriptor: of the locked file.
        holder: name of this process in leases and claims, never used twice.
        predecessor: the same of the last process that had the lock, which is therefore dead; "" for the first one.
    """

    descriptor: int
    holder: str
    predecessor: str

    def release(self) -> None:
        """Give it back early."""
        os.close(self.descriptor)


def lock_home(home: Path) -> HomeLock:
    """Become the one service of this home.

    Raises:
        StoreError: another process is, or the folder cannot be written.
    """
    path = home / LOCK_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"the folder cannot be written ({error.strerror})", at=str(home), hint="set `home` to one that can"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = (_holder(descriptor).split("/")[1:2] or ["unknown"])[0]
        os.close(descriptor)
        raise StoreError(
            f"another `tiltmeter serve` runs on this home (process {process})",
            at=str(home),
            hint="stop it first, or give this one a `home` of its own",
        ) from None
    predecessor = _holder(descriptor)
    holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{holder}\n".encode(), 0)
    return HomeLock(descriptor, holder, predecessor)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 512, 0).decode(errors="replace").strip()


def write_ports(home: Path, **addresses: str) -> None:
    """Keep addresses for dashboard, demo, watchdog and tests; whole file or nothing."""
    path = home / PORTS_FILE
    known = read_ports(home)
    known.update(addresses)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(known, indent=1), encoding="utf-8")
    unfinished.replace(path)


def read_ports(home: Path) -> dict[str, Any]:
    """Addresses by name; empty when nothing was started yet."""
    try:
        found = json.loads((home / PORTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def bound_socket(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket; port 0 lets the system choose.

    Args:
        host: address to bind.
        port: wanted port.
        setting: key of the configuration that names it, for the message.

    Raises:
        StoreError: the port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise StoreError(
            f"the address {host}:{port} cannot be used ({error.strerror})",
            hint=f"stop what listens there, or set {setting} to another port",
        ) from error
    listening.set_inheritable(True)
    return listening
