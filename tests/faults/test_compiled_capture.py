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
UNIT = [
    "test_compiled_form.py",
    "test_fastapi_capture.py",
    "test_in_flight.py",
    "test_spool_writer.py",
    "test_privacy_rules.py",
]
FAULTS = [
    "test_spool_power_loss.py",
    "test_spool_io_errors.py",
    "test_spool_kill_points.py",
    "test_spool_damage.py",
    "test_capture_harmless.py",
    "test_capture_full_disk.py",
    "test_capture_kill.py",
]


def built(folder, **environment):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), done.stderr


def passed_by_the_wheel(folder, tests, chosen, *, seconds=900):
    if shutil.which("cc") is None or not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        pytest.skip("no C compiler, or no Python.h: apt-get install gcc python3-dev")
    wheel, _ = built(folder, TILTMETER_COMPILE="1")
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    environment = os.environ | {"PYTHONPATH": str(folder / "installed"), "TILTMETER_EXPECT_COMPILED": "1"}
    environment.pop("TILTMETER_CAPTURE", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *tests, "-m", chosen]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_capture_passes_its_tests_in_its_compiled_form(tmp_path):
    passed_by_the_wheel(tmp_path, [f"tests/unit/capture/{name}" for name in UNIT], "not slow and not faults")


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_the_faults_spare_compiled_capture_in_their_long_form(tmp_path):
    passed_by_the_wheel(tmp_path, [f"tests/faults/{name}" for name in FAULTS], "faults or not faults", seconds=7000)


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure_and_says_so(tmp_path):
    wheel, said = built(tmp_path, CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert said.count("capture stays pure Python") == 1
