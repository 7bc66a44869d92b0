"""Who changed what people are told: silences and rules, before and after; kept with the events of the alerts."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import structlog

from tiltmeter.domain.alert import AlertEvent
from tiltmeter.domain.rule import RULES_IN_FORCE
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.alert import Silence
    from tiltmeter.domain.rule import Rule
    from tiltmeter.ports import World

SILENCED, UNSILENCED, RULE_CHANGED = "alert_silenced", "alert_unsilenced", "rule_changed"
AUDITED = (SILENCED, UNSILENCED, RULE_CHANGED)

_APART = {"at"}
"""Parts of a rule that say where it stands, not what it does."""

log = structlog.get_logger()


def silence_started(world: World, made: Silence) -> None:
    """Keep that somebody asked for quiet; inside the transaction that keeps the silence."""
    after = {"matchers": dict(made.matchers), "until": made.ends_at.isoformat(), "reason": made.reason}
    _record(world, SILENCED, made.id, by=made.created_by, before=None, after=after)


def silence_ended(world: World, silence: Silence, *, by: str) -> None:
    """Keep that somebody ended it early."""
    before = {"matchers": dict(silence.matchers), "until": silence.ends_at.isoformat(), "by": silence.created_by}
    _record(world, UNSILENCED, silence.id, by=by, before=before, after=None)


def record_rules(world: World, *, by: str) -> int:
    """Keep which rules differ from those that judged last; how many.

    Args:
        world: with the rules as they are now.
        by: the account that starts the service, which is as much as a file tells of who edited it.
    """
    now = {rule.id: _plain(rule) for rule in world.rules.rules}
    text = world.state.watermark(RULES_IN_FORCE)
    with world.state.transaction():
        world.state.set_watermark(RULES_IN_FORCE, json.dumps(now, sort_keys=True))
        if text is None:
            return 0
        before = json.loads(text)
        changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        for name in changed:
            old, new = before.get(name), now.get(name)
            _record(world, RULE_CHANGED, name, by=by, before=_differs(old, new), after=_differs(new, old))
    return len(changed)


def _differs(mine: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The parts of one side that the other has not, or has otherwise."""
    if mine is None:
        return None
    return {name: value for name, value in mine.items() if other is None or other.get(name) != value}


def _plain(rule: Rule) -> dict[str, Any]:
    return {f.name: _text(getattr(rule, f.name)) for f in fields(rule) if f.name not in _APART}


def _text(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): str(inner) for key, inner in sorted(value.items(), key=lambda item: str(item[0]))}
    return value if isinstance(value, int | float | str | None) else str(value)


def _record(
    world: World, kind: str, subject: str, *, by: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    now = world.clock.now()
    detail: dict[str, str | float | int | None] = {
        "subject": subject,
        "by": by,
        "before": json.dumps(before, sort_keys=True) if before is not None else None,
        "after": json.dumps(after, sort_keys=True) if after is not None else None,
    }
    world.state.record([AlertEvent("", 0, kind, now, now, Severity.NONE, None, "", detail)])
    log.info(kind, **detail)
