"""Waiting for what another thread or process does: looked at again and again, and bounded."""

from __future__ import annotations

import time


def until(condition, seconds=60.0, what="it did not happen in time"):
    """What the condition gives once it is true of anything; fails with those words after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found
