"""Packages loaded without walks of the garbage collector: what a package defines stays until the end."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def loading() -> Iterator[None]:
    """Load packages; after the first time what lives is never looked through for cycles, not even at the very end.

    NumPy, SciPy and PyArrow define half a million objects: walks through them took a seventh of a small command's time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # later there may be waste among what lives, which would stay for ever
            gc.freeze()
        if was_on:
            gc.enable()
