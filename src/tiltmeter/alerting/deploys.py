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
    from tiltmeter.ports import StateKey, World

DEPLOY_BEFORE = timedelta(hours=24)
"""A version that came this long before a window may still be what moved it."""


def recent_deploys(world: World, model: Model, window: Window) -> tuple[Change, ...]:
    """Model versions first seen shortly before or in the window: a deploy is the likeliest cause of anything."""
    first_seen = world.state.watermark(f"versions:{model.name}")
    known: dict[str, str] = json.loads(first_seen) if first_seen else {}
    moments = {version: datetime.fromisoformat(text) for version, text in known.items()}
    oldest = min(moments.values(), default=window.start)
    return tuple(
        Change(moment, f"version {version} since {moment.astimezone(world.zone):%a %d %b %H:%M}")
        for version, moment in sorted(moments.items(), key=lambda item: item[1])
        if moment > oldest and window.start - DEPLOY_BEFORE <= moment < window.end
    )


def remember_versions(world: World, model: Model, profiles: Iterable[StateKey]) -> None:
    """Keep the first hour of every model version."""
    key = f"versions:{model.name}"
    known: dict[str, str] = json.loads(world.state.watermark(key) or "{}")
    before = dict(known)
    for state in profiles:
        first = state.window_start.isoformat()
        if state.model_version and first < known.get(state.model_version, "9"):
            known[state.model_version] = first
    if known != before:
        world.state.set_watermark(key, json.dumps(known, sort_keys=True))
