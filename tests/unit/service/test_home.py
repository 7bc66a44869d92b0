"""One service per home, and a port that is told apart from a taken one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tiltmeter.domain.errors import StoreError
from tiltmeter.service.home import bound_socket, lock_home, read_ports, write_ports


def test_a_second_service_on_the_home_is_refused_with_the_process_that_has_it(tmp_path):
    lock = lock_home(tmp_path)
    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        lock_home(tmp_path)
    lock.release()
    lock_home(tmp_path).release()


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path):
    code = f"""
from pathlib import Path
from tiltmeter.service.home import lock_home
lock = lock_home(Path({str(tmp_path)!r}))
print("held", flush=True)
input()
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline().strip() == b"held"
    with pytest.raises(StoreError):
        lock_home(tmp_path)
    child.kill()
    child.wait(timeout=10)
    child.stdout.close()
    child.stdin.close()
    lock = lock_home(tmp_path)
    assert lock.predecessor.split("/")[1] == str(child.pid)
    assert lock.holder != lock.predecessor
    lock.release()
    assert lock_home(tmp_path).predecessor == lock.holder


def test_the_first_service_of_a_home_has_no_predecessor(tmp_path):
    assert lock_home(tmp_path).predecessor == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        lock_home(tmp_path)


def test_a_home_that_is_a_file_is_named(tmp_path):
    place = tmp_path / "file"
    place.write_text("x", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        lock_home(place)


def test_a_taken_port_is_named_with_its_setting():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{port} cannot be used.*server\.port"):
            bound_socket("127.0.0.1", port, setting="server.port")


def test_addresses_are_kept_for_others(tmp_path):
    assert read_ports(tmp_path) == {}
    write_ports(tmp_path, serve="http://127.0.0.1:1")
    write_ports(tmp_path, dashboard="http://127.0.0.1:2")
    assert read_ports(tmp_path) == {"serve": "http://127.0.0.1:1", "dashboard": "http://127.0.0.1:2"}
    (tmp_path / "run" / "ports.json").write_text("{half", encoding="utf-8")
    assert read_ports(tmp_path) == {}
