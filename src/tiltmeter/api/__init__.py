"""The public Python interface: compare two data sets, freeze a baseline, replay a history."""

from __future__ import annotations

from tiltmeter.api.baseline import Baseline, compare
from tiltmeter.api.result import Result

__all__ = ["Baseline", "Result", "compare"]
