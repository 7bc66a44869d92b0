"""Durations, sizes and shares as people write them: `90d`, `1h30m`, `2GB`, `10%`."""

from __future__ import annotations

import re
from datetime import timedelta

from tiltmeter.domain.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_BYTES = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def duration(text: object) -> timedelta:
    """A stretch of time from `10s`, `90m`, `1h30m`, `28d`, `8w`.

    Raises:
        ConfigError: it is not written that way.
    """
    if isinstance(text, timedelta):
        return text
    word = str(text).strip()
    parts = _PART.findall(word)
    if not parts or "".join(number + unit for number, unit in parts) != word:
        raise ConfigError(f'"{word}" is no duration', hint="write it like 10s, 90m, 1h30m, 28d or 8w")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def duration_text(length: timedelta) -> str:
    """The shortest way to write a duration: `90s` is `1m30s`, 48 hours are `2d`."""
    seconds = length.total_seconds()
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    text, rest = "", round(seconds)
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def size(text: object) -> int:
    """Bytes from `500MB`, `2GB`, `64KiB` or a plain number.

    Raises:
        ConfigError: it is not written that way.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", str(text).strip())
    if match is None or match[2].upper() not in _BYTES:
        raise ConfigError(f'"{text}" is no size', hint="write it like 500MB or 2GB")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def share(text: object) -> float:
    """A share in [0, 1] from `10%` or `0.1`.

    Raises:
        ConfigError: it is not written that way or lies outside.
    """
    word = str(text).strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f'"{word}" is no share', hint="write it like 10% or 0.1")
    return value
