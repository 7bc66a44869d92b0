"""What the compiled part of capture replaces, and whether it is installed.

`_swift.c` holds the plain course of a request once more, compiled. It is built with the wheel where a C compiler is
found; where it was not, or `TILTMETER_CAPTURE=python` is set, the classes below stand in its place and the methods of
`Exchange` and `SpoolWriter` do everything. Both forms write the same bytes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

__all__ = ["COMPILED", "FORM", "BegunSegment", "Passage", "Pen", "connect"]


@dataclass(slots=True, eq=False)
class BegunSegment:
    """A segment that this process began.

    Args:
        number: in its slot.
        fd: descriptor; -1 once closed.
        size: bytes in it.
        seed: of its checksums.
        count: records in it.
        begun: monotonic time of the first record.
        synced: bytes known to be on the disk.
        unsynced: frames behind them.
        position: of its last record, set when the next segment takes over.
        given_up: its sync failed and its records could not be written again.
    """

    number: int
    fd: int
    size: int
    seed: int
    count: int = 0
    begun: float = 0.0
    synced: int = 0
    unsynced: list[bytes] = field(default_factory=list)
    position: int = 0
    given_up: bool = False


class Pen:
    """Storage of the attributes that `put` needs; compiled, also its plain case."""


class Passage:
    """Storage of the attributes of one request; compiled, also its plain course."""


def connect(*_parts: Any) -> None:  # noqa: ANN401 - only the compiled form keeps them
    """Give the compiled form what it shares with Python: context variable, new ids, method names."""


COMPILED = False
if not TYPE_CHECKING and os.environ.get("TILTMETER_CAPTURE") != "python":
    with suppress(ImportError):
        from tiltmeter.capture._swift import BegunSegment, Passage, Pen, connect

        COMPILED = True
FORM = "compiled" if COMPILED else "pure Python"
"""Which form of capture runs in this process."""
