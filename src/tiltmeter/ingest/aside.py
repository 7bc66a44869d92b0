"""Moving what cannot be read out of the spool, so that it keeps nothing else from being shipped."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

_log = structlog.get_logger(__name__)


def set_aside(path: Path, folder: Path, name: str, why: str, counters: Counter[str]) -> None:
    """Move a segment or a batch run into a folder that may lie on another disk; nothing that lies there is replaced.

    Args:
        path: what is moved.
        folder: where to; made when it is missing.
        name: there; numbered when one of that name is there already.
        why: for the log.
        counters: of the shipper.

    Raises:
        OSError: it cannot be moved; it is still where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / name, 1
    while target.exists():
        number += 1
        target = folder / f"{name}.{number}"
    shutil.move(path, target)
    counters["segments_set_aside"] += 1
    _log.error("segment_set_aside", segment=str(path), to=str(target), reason=why)
