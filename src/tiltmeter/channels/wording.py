"""Words that all channels share: the line with state and title, plain text, cutting, cleaning of hostile names."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tiltmeter.domain.message import TAKEN, MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.message import Content, Message, Row

NAME_LENGTH = 80
"""Longest name of a feature, category or model that is shown."""

_STATES = {
    MessageKind.ACKNOWLEDGED: ("🟡", "ACKNOWLEDGED"),
    MessageKind.RESOLVED: ("✅", "RESOLVED"),
    MessageKind.FLAPPING: ("🟠", "FLAPPING"),
    MessageKind.TEST: ("🔧", "TEST"),
    MessageKind.REPORT: ("📈", "REPORT"),
}
_SEVERITIES = {
    Severity.CRITICAL: ("🔴", "CRITICAL"),
    Severity.WARNING: ("🟠", "WARNING"),
    Severity.INFO: ("🔵", "INFO"),
    Severity.NONE: ("⚪", "NOTICE"),
}
_PREFIXES = {
    MessageKind.REMINDED: "still: ",
    MessageKind.ESCALATED: "not acknowledged: ",
    MessageKind.REOPENED: "reopened: ",
    MessageKind.WORSENED: "worse: ",
    MessageKind.META: "monitoring itself: ",
}
_OF_TAKEN = {MessageKind.UPDATED, MessageKind.REMINDED}
ROWS_SHOWN = 10
"""Subjects in a mail."""

_SPACES = re.compile(r"\s+")


def state_of(message: Message) -> tuple[str, str]:
    """Sign and word for what the message says: the state where there is a new one, else the severity.

    An update of an incident that somebody takes care of must not look as if nobody did.
    """
    if message.kind in _OF_TAKEN and TAKEN in message.content.facts:
        return _STATES[MessageKind.ACKNOWLEDGED]
    return _STATES.get(message.kind) or _SEVERITIES[message.severity]


def one_line(text: str, length: int | None = None) -> str:
    """The text without line breaks and invisible or control characters, cut at `length` with an ellipsis."""
    # Cf holds zero-width and direction-changing characters, which would let a name show as another one.
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} else c for c in text)
    kept = "".join(c for c in kept if unicodedata.category(c) != "Cf" or c == "\u200d")
    return cut(_SPACES.sub(" ", kept).strip(), length)


def cut(text: str, length: int | None) -> str:
    """At most `length` characters, the last one an ellipsis when something was left out."""
    return text if length is None or len(text) <= length else text[: max(0, length - 1)] + "…"


def clean_lines(text: str, length: int | None = None) -> str:
    """As `one_line`, but line breaks stay."""
    return cut("\n".join(one_line(line) for line in text.splitlines()), length)


def headline(message: Message, length: int | None = None) -> str:
    """`CRITICAL lead-scoring: 30 features drifted, worst lead_source PSI 0.61`."""
    _, word = state_of(message)
    model = f" {one_line(message.model, NAME_LENGTH)}" if message.model else ""
    return one_line(f"{word}{model}: {titled(message)}", length)


def titled(message: Message) -> str:
    """The title with what happened to the incident before it."""
    return one_line(_PREFIXES.get(message.kind, "") + message.content.title)


def safe_links(content: Content) -> dict[str, str]:
    """Links that lead to the web; everything else (`javascript:`, `file:`) is left out."""
    found = {}
    for label, address in content.links.items():
        parts = urlsplit(address)
        if parts.scheme in {"http", "https"} and parts.hostname:
            found[one_line(label, NAME_LENGTH)] = one_line(address).replace(" ", "%20")
    return found


def table_of(content: Content, most: int) -> tuple[Sequence[Row], int]:
    """Rows to show and how many are left out; none where there is a single subject, which the rest says already."""
    if len(content.rows) + content.more < 2:
        return (), 0
    return content.rows[:most], content.more + len(content.rows[most:])


def row_line(row: Row) -> str:
    """`lead_source  PSI 0.61  web-form +18 pp`."""
    change = f" · {one_line(row.change, 2 * NAME_LENGTH)}" if row.change else ""
    return one_line(f"{one_line(row.subject, NAME_LENGTH)} {measured(row)}{change}")


def measured(row: Row) -> str:
    """`PSI 0.61`."""
    return one_line(f"{one_line(row.measure, NAME_LENGTH)} {one_line(row.value, 40)}")


def plain_text(message: Message, *, width: int = 78, lines: int = 40) -> str:
    """The message in plain text, at most `lines` lines of `width` columns; cut before the links, never at the top."""
    content = message.content
    found = _wrapped(headline(message), width)
    if content.effect:
        found += ["", *_wrapped(clean_lines(content.effect), width)]
    if content.facts:
        found.append("")
        for label, text in content.facts.items():
            found += _wrapped(f"{one_line(label, 40)}: {one_line(text)}", width, indent="  ")
    rows, left_out = table_of(content, ROWS_SHOWN)
    if rows:
        found += ["", *(line for row in rows for line in _wrapped("- " + row_line(row), width, indent="  "))]
    if left_out:
        found.append(f"and {left_out} more")
    if content.actions:
        found += ["", "What to do:"]
        found += [
            line
            for number, action in enumerate(content.actions, 1)
            for line in _wrapped(f"{number}. {one_line(action)}", width, indent="   ")
        ]
    tail = [
        f"{label}: {address}" for label, address in safe_links(content).items()
    ]  # never wrapped: must stay clickable
    if content.footer:
        tail += ["", *_wrapped(one_line(content.footer), width)]
    room = max(1, lines - len(tail) - 1)
    if len(found) > room:
        found = [*found[: room - 1], "… (the rest is on the dashboard)"]
    return "\n".join([*found, "", *tail][:lines]) + "\n"


def _wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    return [
        piece
        for line in text.splitlines()
        for piece in textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    ]
