"""Wide comparisons without pauses of the garbage collector."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDE = 500
"""Features from which on a comparison makes so many lasting objects that looking through them for cycles shows."""


@contextmanager
def without_collection(features: int) -> Iterator[None]:
    """Hold the collector of cycles back while many objects are made that all stay and form no cycles.

    At 10,000 features it would walk through millions of live objects again and again.

    Args:
        features: of the comparison; narrow ones are left alone.
    """
    if features < _WIDE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
