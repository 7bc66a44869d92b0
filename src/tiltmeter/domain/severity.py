"""How bad something is, in one order that every part of the product shares."""

from __future__ import annotations

from enum import IntEnum


class Severity(IntEnum):
    """`none < info < warning < critical`."""

    NONE = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """The lower-case name used in files, JSON and on pages."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Severity:
        """Severity by its word; KeyError when there is none of that name."""
        return cls[word.upper()]
