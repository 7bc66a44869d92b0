"""Ctrl-C in a terminal ends what make runs, and make ends with 0."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

WRAPPER = Path(__file__).parents[3] / "deploy" / "setup" / "foreground"
PATIENT = """
import time
try:
    print("ready", flush=True)
    for _ in range(600):  # a signal just before one sleep is seen at its end
        time.sleep(0.1)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def _read_until(terminal, word):
    said, until = "", time.monotonic() + 30
    while word not in said:
        assert time.monotonic() < until, said
        if select.select([terminal], [], [], 1.0)[0]:
            said += os.read(terminal, 4096).decode()
    return said


def test_ctrl_c_reaches_the_command_alone_and_make_ends_well(tmp_path):
    (tmp_path / "patient.py").write_text(PATIENT)
    (tmp_path / "Makefile").write_text(f"demo:\n\t@{sys.executable} {WRAPPER} {sys.executable} patient.py\n")
    child, terminal = pty.fork()
    if child == 0:
        # A suite that was started in the background inherits an ignored Ctrl-C; a terminal's shell never has one.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvp("make", ["make", "-C", str(tmp_path), "--no-print-directory", "demo"])  # noqa: S606 - the real make
    try:
        _read_until(terminal, "ready")
        os.write(terminal, b"\x03")
        _read_until(terminal, "stopped")
        _, status = os.waitpid(child, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
