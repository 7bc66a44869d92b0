"""Pictures made of characters, for mail, chat and terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"


def text_bar(share: float | None, *, width: int = 10) -> str:
    """A bar of block characters; full at 1.

    Args:
        share: 0 to 1; beyond is drawn as full, None as dots.
        width: in characters.
    """
    if share is None:
        return "·" * width
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def text_sparkline(values: Sequence[float | None]) -> str:
    """A character a value, scaled to the largest; a dot where there is none."""
    top = max((value for value in values if value is not None), default=0.0)
    if top <= 0:
        return "".join("·" if value is None else _LEVELS[0] for value in values)
    last = len(_LEVELS) - 1
    return "".join("·" if value is None else _LEVELS[round(max(0.0, value) / top * last)] for value in values)
