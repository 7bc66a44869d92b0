"""Keeping secrets out of every text that leaves a channel: errors, receipts, dead letters, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
_SHORTEST = 4  # shorter texts are no secrets, and hiding them would eat ordinary words


def parts_of(secret: str) -> list[str]:
    """A secret and the pieces of it that are secret by themselves: password and path of an address."""
    found = [secret]
    if "://" in secret:
        parts = urlsplit(secret)
        found += [parts.password or "", parts.path.strip("/"), parts.query]
        found += [piece for piece in parts.path.split("/") if len(piece) >= 2 * _SHORTEST]
    return found


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret, plain or percent-encoded, replaced by `***`; cut at 500 characters."""
    wanted = {form for secret in secrets for part in parts_of(secret) for form in (part, quote(part, safe=""))}
    for secret in sorted(wanted, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text if len(text) <= 500 else text[:499] + "…"
