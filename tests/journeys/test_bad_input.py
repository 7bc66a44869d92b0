"""What a person does wrong with an installation, through the real commands: one sentence each, and where to look."""

import os
import socket
import subprocess
import sys

import pytest

from command_line import tiltmeter

FINE = """\
version: 1
home: ./home
server: {port: 0}
models: {lead-scoring: {}}
"""

CASES = {
    "an unknown key of a model": (
        FINE.replace("{lead-scoring: {}}", "\n  lead-scoring:\n    sorce: capture"),
        2, ('tiltmeter.yaml:6: unknown key "models.lead-scoring.sorce"', 'did you mean "source"?'),
    ),
    "an unknown key at the top": (FINE + "timezon: UTC\n", 2, ("tiltmeter.yaml:5", 'did you mean "timezone"?')),
    "a channel without its secret": (
        FINE + 'channels:\n  slack: {kind: slack, channel: "#ml", token: "env:NO_SUCH_TOKEN"}\n',
        2, ("tiltmeter.yaml:6: slack: the environment variable NO_SUCH_TOKEN is not set", "export NO_SUCH_TOKEN=…"),
    ),
    "a secret in clear text": (
        FINE + 'channels:\n  slack: {kind: slack, channel: "#ml", token: "xoxb-1-secret"}\n',
        2, ("tiltmeter.yaml:6", "env:NAME"),
    ),
    "a home that cannot be made": (
        FINE.replace("./home", "/proc/tiltmeter"),
        1, ("/proc/tiltmeter/spool: the folder cannot be made", "set `home`"),
    ),
    "a home that is a file": (FINE.replace("./home", "./tiltmeter.yaml"), 1, ("the folder cannot be made",)),
}  # fmt: skip


def _one_sentence(ran, code, words):
    assert ran.code == code, ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err
    assert ran.err.startswith("tiltmeter: ")
    for word in words:
        assert word in ran.err


def _written(folder, text):
    (folder / "tiltmeter.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", CASES)
def test_serve_says_what_is_wrong_in_one_sentence(tmp_path, name):
    text, code, words = CASES[name]
    ran = tiltmeter("serve", cwd=_written(tmp_path, text))
    _one_sentence(ran, code, words)
    assert "xoxb" not in ran.err + ran.out


def test_a_missing_configuration_is_one_sentence(tmp_path):
    for command in (["serve"], ["check"], ["doctor"], ["alerts", "list"]):
        ran = tiltmeter(*command, "--config", "nope.yaml", cwd=tmp_path)
        _one_sentence(ran, 2, ("there is no configuration file nope.yaml", "tiltmeter init"))


def test_a_taken_port_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = tiltmeter("serve", cwd=_written(tmp_path, FINE.replace("{port: 0}", f"{{port: {port}}}")))
    _one_sentence(ran, 1, (f"127.0.0.1:{port} cannot be used", "server.port"))


def test_a_second_service_on_the_home_is_one_sentence(tmp_path):
    _written(tmp_path, FINE)
    first = subprocess.Popen(
        [sys.executable, "-m", "tiltmeter.cli.app", "serve"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline().startswith("service ")
        _one_sentence(tiltmeter("serve", cwd=tmp_path), 1, (f"process {first.pid}", "a `home` of its own"))
    finally:
        first.terminate()
        assert first.wait(timeout=60) == 0
        first.stdout.close()


@pytest.fixture
def full_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    free = os.statvfs(folder)
    (folder / "ballast").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 4096))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_sentence(tmp_path, full_disk):
    _written(tmp_path, FINE.replace("./home", str(full_disk / "home")))
    for command in (["serve"], ["demo", "--no-serve", "--dir", full_disk / "demo"]):
        ran = tiltmeter(*command, cwd=tmp_path)
        assert ran.code == 1
        assert len(ran.err.strip().splitlines()) == 1, ran.err
        assert "disk" in ran.err or "No space left" in ran.err
    ran = tiltmeter("check", cwd=tmp_path)
    assert ran.code == 2
    assert "free space" in ran.err
    ran = tiltmeter("doctor", cwd=tmp_path)
    assert (ran.code, ran.err) == (1, "")
    assert "disk" in ran.out or "No space left" in ran.out


@pytest.mark.parametrize("damage", [b"no database", None], ids=["garbage", "a folder in its place"])
def test_doctor_looks_at_everything_else_where_the_state_is_damaged(tmp_path, damage):
    home = _written(tmp_path, FINE) / "home"
    home.mkdir()
    (home / "state.db").mkdir() if damage is None else (home / "state.db").write_bytes(damage * 1000)
    ran = tiltmeter("doctor", cwd=tmp_path)
    assert (ran.code, ran.err) == (1, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("ok    versions")
    assert any(line.startswith("ok    spool     nothing waits") for line in lines)
    assert lines[-2].startswith(f"wrong state     {home / 'state.db'}: the state database failed: ")
    assert "→" in lines[-1]


def test_check_tries_to_write_the_home(tmp_path):
    ran = tiltmeter("check", cwd=_written(tmp_path, FINE.replace("./home", "/proc/tiltmeter")))
    assert ran.code == 2
    assert "/proc cannot be written" in ran.out
    assert len(ran.error_lines) == 1
    assert not list(tmp_path.glob("home*"))


def test_check_keeps_a_finding_on_one_line_for_those_who_search_in_it(tmp_path):
    ran = tiltmeter("check", cwd=_written(tmp_path, FINE), COLUMNS="40")
    assert ran.code == 0, ran.err
    assert "none is configured, the first full week will be learnt" in ran.out
