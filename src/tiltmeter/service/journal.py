"""The service's log: one line an event, JSON where nobody watches, coloured words on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_LONGEST = 2_000
"""Characters of a value; names and errors may be hostile text of any length."""


def write_journal(to: TextIO | None = None) -> None:
    """Write every event to a stream from now on.

    Args:
        to: people read it where it is a terminal, machines where it is not; None for what is the error stream when an
            event is written, whoever has put another in its place meanwhile.
    """
    shown: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer()
        if (to or sys.stderr).isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _one_line,
            shown,
        ],
        logger_factory=lambda *_names: structlog.PrintLogger(to or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _one_line(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """No value of an event can begin a line of its own, whatever a name holds."""
    for key, value in event.items():
        if isinstance(value, str):
            plain = value if key == "exception" else "".join(c if c.isprintable() else " " for c in value)
            event[key] = plain[:_LONGEST]
    return event
