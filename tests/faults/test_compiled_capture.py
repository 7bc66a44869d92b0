"""The wheel as users install it, with compiled capture: the same promises, and the same bytes as pure Python."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = [
    "tests/unit/capture/test_fastapi_capture.py",
    "tests/unit/capture/test_spool_writer.py",
    "tests/unit/capture/test_spool_slots.py",
    "tests/unit/capture/test_privacy_rules.py",
    "tests/unit/capture/test_compiled_form.py",
    "tests/faults/test_spool_power_loss.py",
    "tests/faults/test_spool_io_errors.py",
    "tests/faults/test_capture_harmless.py",
    "tests/faults/test_capture_full_disk.py",
]


def built(folder, **environment):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), done.stderr


@pytest.mark.slow
def test_every_promise_of_capture_holds_in_its_compiled_form(tmp_path):
    if shutil.which("cc") is None or not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        pytest.skip("no C compiler, or no Python.h: apt-get install gcc python3-dev")
    wheel, _ = built(tmp_path, TILTMETER_COMPILE="1")
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "TILTMETER_EXPECT_COMPILED": "1"}
    environment.pop("TILTMETER_CAPTURE", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *PROMISES]
    done = subprocess.run(
        [*command, "-m", "not faults"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure_and_says_so(tmp_path):
    wheel, said = built(tmp_path, CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert said.count("capture stays pure Python") == 1
