"""One machine: files, folders, Delta tables and data frames, through PyArrow and the kernel."""

from __future__ import annotations

from tiltmeter.engines.local.engine import LocalEngine
from tiltmeter.engines.local.sources import open_rows
from tiltmeter.engines.local.untyped import as_text

__all__ = ["LocalEngine", "as_text", "open_rows"]
