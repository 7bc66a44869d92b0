"""Name -> object, loaded when it is asked for: built-ins by `"module:object"`, then entry points of other packages."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint that names the closest known name, or lists what there is."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known)) or 'none'}"


class Registry:
    """One group of named things.

    Args:
        kind: what the things are, for messages ("channel").
        builtin: name -> "module:object".
        group: entry-point group that other distributions may fill; scanned only for names that are not built in.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self._builtin = dict(builtin)
        self._group = group

    def names(self) -> list[str]:
        """Built-in names, in the order they were registered."""
        return list(self._builtin)

    def load(self, name: str) -> Any:  # noqa: ANN401 - a registry holds things of any type
        """The object of that name.

        Raises:
            ConfigError: nothing of that name is built in or installed.
        """
        target = self._builtin.get(name)
        if target is not None:
            module, _, attribute = target.partition(":")
            return getattr(import_module(module), attribute)
        for point in entry_points(group=self._group):
            if point.name == name:
                return point.load()
        raise ConfigError(f'there is no {self.kind} "{name}"', hint=did_you_mean(name, self.names()))
