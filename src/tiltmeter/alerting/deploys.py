"""Deploys as the monitor sees them: the first hour of every model version."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tiltmeter.alerting.situation import Change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import StateKey, StateStore, World

DEPLOY_BEFORE = timedelta(hours=24)
"""A version that came this long before a window may still be what moved it."""


def recent_deploys(world: World, model: Model, window: Window) -> tuple[Change, ...]:
    """Model versions first seen shortly before or in the window: a deploy is the likeliest cause of anything."""
    known = first_hours(world.state, model.name)
    moments = {version: datetime.fromisoformat(text) for version, text in known.items()}
    oldest = min(moments.values(), default=window.start)
    return tuple(
        Change(moment, f"version {version} since {moment.astimezone(world.zone):%a %d %b %H:%M}")
        for version, moment in sorted(moments.items(), key=lambda item: item[1])
        if moment > oldest and window.start - DEPLOY_BEFORE <= moment < window.end
    )


def first_hours(state: StateStore, model: str) -> dict[str, str]:
    """Version -> UTC start of its first hour with rows, ISO 8601."""
    found: dict[str, str] = json.loads(state.watermark(_key(model)) or "{}")
    return found


def _key(model: str) -> str:
    return f"versions:{model}"


def remember_versions(world: World, model: Model, profiles: Iterable[StateKey]) -> None:
    """Keep the first hour of every model version."""
    key = _key(model.name)
    known = first_hours(world.state, model.name)
    before = dict(known)
    for state in profiles:
        first = state.window_start.isoformat()
        if state.model_version and first < known.get(state.model_version, "9"):
            known[state.model_version] = first
    if known != before:
        world.state.set_watermark(key, json.dumps(known, sort_keys=True))
