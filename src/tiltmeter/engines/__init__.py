"""Engines run the profiling kernel over rows and know no statistic. Given the same bins they give the same integers."""

from __future__ import annotations

from tiltmeter.registry import Registry

ENGINES = Registry("engine", {"local": "tiltmeter.engines.local:LocalEngine"}, "tiltmeter.engines")
