"""Files whose types are guessed from their text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tiltmeter.ports import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence


@runtime_checkable
class Untyped(Rows, Protocol):
    """Rows of a file that states no types."""

    def with_text(self, names: Sequence[str]) -> Rows:
        """The same rows with these columns read as text, or itself where they are; unknown names are passed over."""
        ...


def as_text(rows: Rows, names: Sequence[str]) -> Rows:
    """The same rows with these columns read as text where the file states no types; typed rows are left as they are."""
    return rows.with_text(names) if isinstance(rows, Untyped) and names else rows
