"""What values are called where they are levels: text itself, numbers in their shortest form, `true` and `false`."""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b

NAME_CHARACTERS = 256
"""Levels with longer names are called by their beginning and a hash, so that no state holds a 10 MB string."""


def name_of(value: object, *, boolean: bool) -> str:
    """The name of a value.

    Args:
        value: no null.
        boolean: whether 1 and 0, True and False in any case are called true and false.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        value = int(value)
    if isinstance(value, Decimal):
        # `normalize` rounds to 28 digits.
        value = f"{value:f}" if value else "0"
        value = value.rstrip("0").rstrip(".") if "." in value else value
    text = str(value)
    if boolean:
        text = {"1": "true", "0": "false"}.get(text, text.lower() if text.lower() in ("true", "false") else text)
    return short_name(text)


def short_name(name: str) -> str:
    """The name itself, or its beginning and a hash where it is longer than 256 characters."""
    if len(name) <= NAME_CHARACTERS:
        return name
    return f"{name[:239]}…{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
