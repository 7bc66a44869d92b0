"""Typed values out of a YAML source; every complaint is kept with its file and line, so that all are seen at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tiltmeter.config.units import duration
from tiltmeter.config.yaml_source import KeyPath, YamlSource, dotted
from tiltmeter.domain.errors import ConfigError
from tiltmeter.registry import did_you_mean

_ABSENT = object()


@dataclass(slots=True)
class Reader:
    """Reads keys by path and collects what is wrong with them.

    Args:
        source: the file.
        problems: complaints so far, in the order they were found.
    """

    source: YamlSource
    problems: list[ConfigError] = field(default_factory=list)

    def complain(self, path: KeyPath, what: str, *, hint: str | None = None) -> None:
        """Keep a complaint about the key at the path."""
        self.problems.append(ConfigError(what, at=self.source.at(*path), hint=hint))

    def node(self, path: KeyPath) -> Any:  # noqa: ANN401 - a YAML value of any type
        """The raw value, None where a key on the way is absent."""
        found = self._find(path)
        return None if found is _ABSENT else found

    def has(self, path: KeyPath) -> bool:
        """Whether the key is written in the file."""
        return self._find(path) is not _ABSENT

    def section(self, path: KeyPath, known: Collection[str] | None = None) -> dict[str, Any]:
        """A mapping; empty when absent. Keys outside `known` are complained about (None: any key)."""
        found = self.node(path)
        if found is None:
            return {}
        if not isinstance(found, dict):
            self.complain(path, f"{dotted(path)} must be keys and values, not {_said(found)}")
            return {}
        for key in found:
            if known is not None and key not in known:
                self.complain((*path, key), f'unknown key "{dotted((*path, key))}"', hint=did_you_mean(key, [*known]))
        return found

    def items(self, path: KeyPath) -> list[Any]:
        """A list; empty when absent."""
        found = self.node(path)
        if found is None:
            return []
        if not isinstance(found, list):
            self.complain(path, f"{dotted(path)} must be a list, not {_said(found)}")
            return []
        return found

    def text(self, path: KeyPath, default: str = "") -> str:
        """A word or sentence."""
        found = self.node(path)
        if found is None:
            return default
        if isinstance(found, dict | list):
            self.complain(path, f"{dotted(path)} must be a text, not {_said(found)}")
            return default
        return str(found)

    def names(self, path: KeyPath) -> tuple[str, ...]:
        """A list of words; a single word counts as a list of one."""
        found = self.node(path)
        if isinstance(found, str):
            return (found,)
        return tuple(self.text((*path, position)) for position, _ in enumerate(self.items(path)))

    def choice(self, path: KeyPath, allowed: Collection[str], default: str) -> str:
        """One of the allowed words."""
        word = self.text(path, default)
        if word in allowed:
            return word
        self.complain(path, f'{dotted(path)} is "{word}"', hint=did_you_mean(word, list(allowed)))
        return default

    def integer(self, path: KeyPath, default: int, *, least: int = 0) -> int:
        """A whole number."""
        found = self.node(path)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int) or found < least:
            self.complain(path, f"{dotted(path)} is {_said(found)}", hint=f"write a whole number from {least} on")
            return default
        return found

    def number(self, path: KeyPath) -> float | None:
        """A finite number; None when absent or wrong."""
        found = self.node(path)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            self.complain(path, f"{dotted(path)} is {_said(found)}", hint="write a number")
            return None
        return float(found)

    def duration(self, path: KeyPath) -> timedelta | None:
        """A stretch of time (`10s`, `1h30m`); None when absent or wrong."""
        found = self.node(path)
        if found is None:
            return None
        try:
            return duration(found)
        except ConfigError as error:
            self.complain(path, f"{dotted(path)}: {error.what}", hint=error.hint)
            return None

    def _find(self, path: KeyPath) -> Any:  # noqa: ANN401 - a YAML value of any type
        found: Any = self.source.data
        for part in path:
            inside = (isinstance(found, Mapping) and part in found) or (
                isinstance(found, list) and isinstance(part, int) and part < len(found)
            )
            if not inside:
                return _ABSENT
            found = found[part]
        return found


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
