"""Compiles the hot part of capture into the wheel where a C compiler is found; a wheel without it is as complete.

`TILTMETER_COMPILE=0` leaves it out, `TILTMETER_COMPILE=1` fails where it cannot be done. An editable install stays pure
Python: a compiled form beside sources that are being edited would hide the edits.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/tiltmeter/capture/_swift.c"
FLAGS = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]


class CompiledCapture(BuildHookInterface):  # type: ignore[type-arg] # the configuration's type is of no use here
    """Adds `tiltmeter/capture/_swift` to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say in one line when that was not done."""
        wanted = os.environ.get("TILTMETER_COMPILE", "")
        if version == "editable" or wanted == "0":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="tiltmeter-compile-")
        target = Path(self._folder.name, f"_swift{sysconfig.get_config_var('EXT_SUFFIX')}")
        reason = why_not() or compiled(Path(self.root, SOURCE), target)
        if reason:
            if wanted == "1":
                raise SystemExit(f"tiltmeter: capture could not be compiled: {reason}")
            sys.stderr.write(f"tiltmeter: capture stays pure Python, which works as well but costs more: {reason}\n")
            return
        build_data["force_include"][str(target)] = f"tiltmeter/capture/{target.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what was compiled; the wheel holds it."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def why_not() -> str:
    """Why this interpreter gets no compiled form; empty when it does."""
    if platform.python_implementation() != "CPython" or sys.platform != "linux":
        return f"written for CPython on Linux, this is {platform.python_implementation()} on {sys.platform}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this interpreter has no global lock, on which the compiled form relies"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python.h is missing (Debian: apt-get install python3-dev)"
    return ""


def compiled(source: Path, target: Path) -> str:
    """Compile one C file; empty, or the reason why there is no result."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    command = [*compiler, *FLAGS, f"-I{sysconfig.get_paths()['include']}", str(source), "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - ours
    except FileNotFoundError:
        return f"there is no C compiler ({compiler[0]})"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{compiler[0]} did not run ({error})"
    return "" if done.returncode == 0 else f"{compiler[0]} failed: {done.stderr.strip().splitlines()[-1:] or '?'}"
