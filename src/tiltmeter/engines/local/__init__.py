"""One machine: files, folders, Delta tables and data frames, through PyArrow and the kernel."""

from __future__ import annotations

from tiltmeter.engines.local.engine import LocalEngine
from tiltmeter.engines.local.sources import open_rows

__all__ = ["LocalEngine", "open_rows"]
