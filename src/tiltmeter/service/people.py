"""What people and time change about incidents: acknowledge, silence, escalate, remind. Each call is one transaction."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from tiltmeter.alerting.advance import acknowledge as acknowledged
from tiltmeter.alerting.advance import tick
from tiltmeter.alerting.situation import Situation
from tiltmeter.domain.alert import Silence
from tiltmeter.domain.errors import UsageError
from tiltmeter.service.audit import silence_ended, silence_started

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.alerting.situation import Advance
    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World

LONGEST_SILENCE_DAYS = 30


def acknowledge(world: World, incident_id: str, *, by: str, note: str = "") -> Incident:
    """Somebody takes care of the incident; twice changes nothing.

    Raises:
        KeyError: there is no incident of that id.
    """
    now = world.clock.now()
    with world.state.transaction():
        found = world.state.incident(incident_id)
        if found is None:
            raise KeyError(incident_id)
        situation = Situation.of(world, None)
        if all(incident.id != incident_id for incident in situation.incidents):
            return found  # resolved long ago: there is nothing to take care of
        keep(world, acknowledged(situation, incident_id, by=by, note=note, now=now))
        return world.state.incident(incident_id) or found


def start_silence(world: World, matchers: Mapping[str, str], *, until: datetime, by: str, reason: str) -> Silence:
    """Keep quiet about alerts whose labels match all matchers, until then.

    Raises:
        UsageError: nothing to match, no reason, or an end in the past or too far away.
    """
    now = world.clock.now()
    if not matchers or not reason.strip():
        raise UsageError("a silence needs at least one label=value and a reason")
    if until <= now or (until - now).days > LONGEST_SILENCE_DAYS:
        raise UsageError(
            f"a silence ends within {LONGEST_SILENCE_DAYS} days, this one at {until:%Y-%m-%d %H:%M} UTC",
            hint="choose an end between now and then",
        )
    seed = f"{sorted(matchers.items())}|{now.isoformat()}|{by}"
    made = Silence(f"sil_{blake2b(seed.encode(), digest_size=6).hexdigest()}", dict(matchers), now, until, by, reason)
    with world.state.transaction():
        world.state.save_silence(made)
        silence_started(world, made)
    return made


def end_silence(world: World, silence_id: str, *, by: str) -> bool:
    """End a silence now; what still fires is told with the next turn of the clock. False when there is none."""
    now = world.clock.now()
    for silence in world.state.silences(now):
        if silence.id == silence_id:
            with world.state.transaction():
                world.state.save_silence(replace(silence, ends_at=now, reason=f"{silence.reason} (ended by {by})"))
                silence_ended(world, silence, by=by)
            return True
    return False


def pass_time(world: World, now: datetime) -> None:
    """Escalation steps, reminders, expired acknowledgements and ended silences that are due."""
    if not world.state.incidents(open_only=True):
        return
    with world.state.transaction():
        keep(world, tick(Situation.of(world, None), now=now))


def keep(world: World, changed: Advance) -> None:
    """Write what changed about incidents, each with its messages and events."""
    written: set[str] = set()
    for incident in changed.incidents:
        written.add(incident.id)
        messages = [message for message in changed.messages if message.incident == incident.id]
        events = [event for event in changed.events if event.incident == incident.id]
        world.state.save_incident(incident, messages, events)
    world.state.enqueue([message for message in changed.messages if message.incident not in written])
