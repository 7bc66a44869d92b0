"""The installation that this dashboard shows: opened once, its models and rules as they are now."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.config.load import load_settings
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.rule import RULES_IN_FORCE
from tiltmeter.ingest.found_models import LOOK_SECONDS, KnownModels
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import World

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Installation:
    """What this dashboard shows.

    Args:
        configuration: as it was when the dashboard started; addresses and keys are taken from it.
        opened: the world as it was then.
    """

    configuration: Configuration
    opened: World
    _seen: tuple[int, str] = (0, "")
    _looked_at: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Remember what was just read."""
        self._seen, self._looked_at = self._marks(), self.opened.clock.monotonic()

    @property
    def world(self) -> World:
        """The world with the models of the file and the rules in force, looked at every ten seconds."""
        with self._lock:
            now = self.opened.clock.monotonic()
            if now - self._looked_at >= LOOK_SECONDS:
                self._looked_at = now
                self._look()
            return self.opened

    def _look(self) -> None:
        marks = self._marks()
        if marks == self._seen:
            return
        before = self._seen
        try:
            found = load_settings(self.configuration.path)
        except ConfigError as error:
            # The service keeps the old ones too, and tells people; once the file is mended, it is read again.
            _log.warning("the configuration was not read again: %s", error)
            self._seen = (marks[0], before[1])
            return
        self._seen = marks
        if isinstance(self.opened.models, KnownModels):
            self.opened.models.configure(found.models)
        if marks[1] != before[1] or not marks[1]:
            # Rules of a file that was saved and not yet taken up by the service judge nothing.
            self.opened = replace(self.opened, rules=found.rules)

    def _marks(self) -> tuple[int, str]:
        """When the file was changed, and the rules that the service put in force."""
        path = self.configuration.path
        try:
            changed = path.stat().st_mtime_ns if path is not None else 0
        except OSError:
            changed = 0
        return changed, self.opened.state.watermark(RULES_IN_FORCE) or ""


def installation() -> Installation:
    """The installation named by TILTMETER_CONFIG, opened once a process, without channels and their secrets."""
    found: Installation = _opened(os.environ.get("TILTMETER_CONFIG", ""))
    return found


@st.cache_resource(show_spinner="Opening the installation …")  # type: ignore[untyped-decorator]
def _opened(given: str) -> Installation:
    configuration = load_settings(Path(given) if given else None)
    return Installation(configuration, build_world(configuration, with_channels=False))


def world() -> World:
    """What is read."""
    return installation().world
