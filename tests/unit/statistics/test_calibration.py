"""A short form of benchmarks/calibration.py: tests call about one quiet window in a hundred, and the drifted ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import scipy.stats

_FILE = Path(__file__).parents[3] / "benchmarks" / "calibration.py"
_TIMES = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calibration():
    specification = importlib.util.spec_from_file_location("calibration_benchmark", _FILE)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[specification.name]


# Calls in 300 quiet windows that a test with a true rate of 1.5 % exceeds in one run of a thousand.
_MOST = scipy.stats.binom.isf(0.001, _TIMES, 0.015) / _TIMES


@pytest.mark.parametrize("kind", ["normal", "Poisson(3)", "normal, 20 % missing", "boolean, 10 % true", "20 levels"])
def test_quiet_windows_are_called_in_about_one_of_a_hundred(calibration, kind):
    found = calibration.calibrate(kind, n=1000, m=5000, times=_TIMES, seed=1)
    assert found.psi <= _MOST
    assert found.ks is None or found.ks <= _MOST
    assert found.chi2 is None or found.chi2 <= _MOST
    assert found.warnings == 0


def test_half_a_standard_deviation_is_called_by_its_p_value(calibration):
    found = calibration.power("normal + 0.5 standard deviations", n=1000, m=5000, times=100, seed=1)
    assert found.by_p_value >= 0.95


@pytest.mark.parametrize("change", ["log-normal × 100", "+10 points missing"])
def test_large_changes_are_called_by_the_default_rules(calibration, change):
    found = calibration.power(change, n=1000, m=5000, times=100, seed=1)
    assert found.by_p_value >= 0.95
    assert found.by_severity >= 0.95


def test_one_huge_value_calls_nobody(calibration):
    found = calibration.power("one 1e12 among the rows", n=1000, m=5000, times=100, seed=1)
    assert found.by_severity == 0.0
    assert found.median_psi < 0.05
