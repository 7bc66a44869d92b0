"""Rules that are read again while the service runs: a good file takes effect, a bad one changes nothing and is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.domain.message import Content, Message, MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tiltmeter.config.load import Configuration
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.ports import Clock, StateStore


class Reloading:
    """Reads the rules of a configuration again.

    Args:
        configuration: that the service was started with.
        apply: makes rules the ones in force.
        state: its outbox takes the word about a refused file.
        clock: time.
        people: channels that hear of it.
        report: takes an event name and its fields, for the log.
    """

    def __init__(
        self,
        configuration: Configuration,
        apply: Callable[[RuleSet], None],
        *,
        state: StateStore,
        clock: Clock,
        people: Iterable[str],
        report: Callable[[str, Mapping[str, object]], None],
    ) -> None:
        self._configuration = configuration
        self._apply = apply
        self._state = state
        self._clock = clock
        self._people = tuple(people)
        self._report = report

    def reload(self) -> bool:
        """Read the file; whether its rules are in force now."""
        try:
            found = _read_again(self._configuration)
        except ConfigError as error:
            self._refuse(error)
            return False
        self._apply(found.rules)
        self._report("rules_loaded", {"revision": found.rules.revision, "rules": len(found.rules.rules)})
        return True

    def _refuse(self, error: ConfigError) -> None:
        self._report("rules_refused", {"error": str(error)})
        now = self._clock.now()
        try:
            self._state.enqueue([_refusal(name, str(error), now) for name in self._people])
        except StoreError as failure:  # a signal's handler must not end the service
            self._report("store_failed", {"error": str(failure)})


def _read_again(before: Configuration) -> Configuration:
    found = load_settings(before.path)
    if found.settings.channels != before.settings.channels:
        hint = "restart the service: it opens them once"
        raise ConfigError("the channels have changed", at=str(before.path), hint=hint)
    return found


def _refusal(channel: str, error: str, now: datetime) -> Message:
    content = Content(
        "the changed rules are refused, the old ones stay",
        effect=error,
        facts={"Since": f"{now:%Y-%m-%d %H:%M} UTC"},
        actions=("Correct the line", "Prove it: tiltmeter rules check tiltmeter.yaml", "Send the service SIGHUP again"),
    )
    name = blake2b(f"rules {channel} {now.isoformat()}".encode(), digest_size=16).hexdigest()
    return Message(name, channel, "", "", MessageKind.META, Severity.WARNING, content, 1, now)
