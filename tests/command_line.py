"""Runs the real command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("tiltmeter: ")]


def tiltmeter(*arguments: object, cwd: Path | None = None, **environment: str) -> Ran:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TILTMETER_")}
    done = subprocess.run(
        [sys.executable, "-m", "tiltmeter.cli.app", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env={**clean, **environment},
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)
