"""What `check` and `doctor` print: each finding is ok, or says what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a part stands."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part that was looked at.

    Args:
        part: what was looked at.
        state: how it stands.
        says: what was found, in words.
        to_do: what to do about it; empty when it is ok.
    """

    part: str
    state: State
    says: str
    to_do: str = ""
