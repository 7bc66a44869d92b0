"""Files of a folder that hold no rows for us: some plainly no data, others data of a kind that is not read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_NO_DATA = re.compile(
    r".*(~|\.(crc|md5|sha1|sha256|sha512|sig|asc|lock|log|bak|swp|md|rst|html?|css|pdf|docx?|pptx?"
    r"|png|jpe?g|gif|svg|webp|bmp|ico|tiff?|py|pyc|r|sql|sh|js|ipynb|ya?ml|toml|ini|cfg|conf))",
    re.IGNORECASE,
)
"""Checksums, logs, backups, documents, pictures, programs and settings that people keep beside data."""

_ABOUT = re.compile(r"(readme|licen[cs]e|notice|changelog|makefile|dockerfile|thumbs\.db)(\.txt)?", re.IGNORECASE)


def is_about_data(name: str) -> bool:
    """Whether a file of this name tells of the others, though it may be text as a CSV file is."""
    return _ABOUT.fullmatch(name) is not None


def unread_words(files: Sequence[Path]) -> str:
    """How many files of no known kind may hold rows, and the first of them; empty where there are none.

    Args:
        files: of no kind that is read, in order, hidden ones left out.
    """
    unread = [file for file in files if not _NO_DATA.fullmatch(file.name)]
    if not unread:
        return ""
    if len(unread) == 1:
        return f"1 file of a kind that is not read is left out: {unread[0]}"
    return f"{len(unread):,} files of kinds that are not read are left out, {unread[0]} first"
