"""Files that are whole or not there at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file at once; nothing half written stays behind.

    Raises:
        StoreError: the place cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once; nothing half written stays behind.

    Raises:
        StoreError: the place cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"the file cannot be written ({error.strerror})",
            at=str(path),
            hint="name a folder that exists and is yours",
        ) from error
