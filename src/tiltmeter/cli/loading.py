"""Packages loaded without walks of the garbage collector: what a package defines stays until the end."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def loading() -> Iterator[None]:
    """Load packages. All that lives afterwards is never looked through for cycles, not even at the end of the process.

    NumPy, SciPy and PyArrow define half a million objects: walks through them took a fifth of a small command's time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
