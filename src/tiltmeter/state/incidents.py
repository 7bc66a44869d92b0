"""Alerts, incidents and their transitions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import BigInteger, Integer, and_, bindparam, func, insert, or_, select, update

from tiltmeter.domain.alert import Alert, AlertEvent, AlertState, Incident, IncidentState
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.severity import Severity
from tiltmeter.state.codec import decode, encode
from tiltmeter.state.metrics import upsert
from tiltmeter.state.tables import ALERT_EVENTS, ALERTS, INCIDENTS, THREADS, from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Select

REOPEN_WITHIN = timedelta(minutes=30)
"""A resolved alert counts as open for so long, because a new breach would reopen it."""


def write_alerts(connection: Connection, alerts: Iterable[Alert]) -> None:
    """Add or replace, one row an episode."""
    rows = {
        (alert.fingerprint, alert.episode): {
            "fingerprint": alert.fingerprint,
            "episode": alert.episode,
            "id": alert.id,
            "model": alert.subject.model,
            "rule": alert.rule,
            "state": alert.state.value,
            "severity": int(alert.severity),
            "incident": alert.incident,
            "since": _micros(alert.since),
            "resolved_at": _micros(alert.resolved_at),
            "updated_at": _micros(alert.updated_at),
            "body": encode(alert),
        }
        for alert in alerts
    }
    upsert(connection, ALERTS, ("fingerprint", "episode"), list(rows.values()))


def read_alerts(connection: Connection, model: str | None, *, open_only: bool, now: datetime) -> dict[str, Alert]:
    """The newest episode of every fingerprint."""
    query = _newest_alerts(of_model=model is not None, open_only=open_only)
    asked = {"of_model": model, "reopens": to_micros(now - REOPEN_WITHIN)}
    found = (_alert(body) for body in connection.execute(query, asked).scalars())
    return {alert.fingerprint: alert for alert in found}


@cache
def _newest_alerts(*, of_model: bool, open_only: bool) -> Select[Any]:
    newest = (
        select(ALERTS.c.fingerprint, func.max(ALERTS.c.episode).label("episode"))
        .group_by(ALERTS.c.fingerprint)
        .subquery()
    )
    query = select(ALERTS.c.body).join(
        newest, and_(newest.c.fingerprint == ALERTS.c.fingerprint, newest.c.episode == ALERTS.c.episode)
    )
    if of_model:
        query = query.where(ALERTS.c.model == bindparam("of_model"))
    if open_only:
        lasting = ALERTS.c.state.in_([AlertState.PENDING.value, AlertState.FIRING.value])
        reopens = bindparam("reopens", type_=BigInteger)
        recent = and_(
            ALERTS.c.state == AlertState.RESOLVED.value,
            or_(ALERTS.c.resolved_at >= reopens, ALERTS.c.updated_at >= reopens),
        )
        query = query.where(or_(lasting, recent))
    return query


def read_episodes(connection: Connection, model: str | None, since: datetime | None) -> list[Alert]:
    """Every episode, oldest first."""
    query = select(ALERTS.c.body).order_by(ALERTS.c.since, ALERTS.c.fingerprint, ALERTS.c.episode)
    if model is not None:
        query = query.where(ALERTS.c.model == model)
    if since is not None:
        query = query.where(ALERTS.c.updated_at >= to_micros(since))
    return [_alert(body) for body in connection.execute(query).scalars()]


@lru_cache(maxsize=4096)
def _alert(body: str) -> Alert:
    """Alerts are values, and nearly every body is one that the last look at the clock read as well."""
    return decode(body, Alert)


def write_incident(connection: Connection, incident: Incident, *, name: str) -> None:
    """Add, or replace the revision it was read at.

    Raises:
        StoreError: somebody else changed it since (retryable: read it again and repeat).
    """
    row = {
        "id": incident.id,
        "model": incident.model,
        "state": incident.state.value,
        "severity": int(incident.severity),
        "opened_at": to_micros(incident.opened_at),
        "updated_at": to_micros(incident.updated_at),
        "revision": incident.revision + 1,
        "body": encode(replace(incident, threads={}, revision=0)),
    }
    stored = connection.execute(select(INCIDENTS.c.revision).where(INCIDENTS.c.id == incident.id)).scalar_one_or_none()
    if stored is None:
        connection.execute(insert(INCIDENTS), row)
    elif (
        connection.execute(
            update(INCIDENTS)
            .where(INCIDENTS.c.id == incident.id, INCIDENTS.c.revision == incident.revision)
            .values(row)
        ).rowcount
        != 1
    ):
        raise StoreError(
            f"incident {incident.id} was changed by somebody else meanwhile",
            at=name,
            hint="read it again and repeat",
            retryable=True,
        )
    _add_threads(connection, incident)


def _add_threads(connection: Connection, incident: Incident) -> None:
    # What receipts brought wins: an incident read before a delivery knows less of its threads than the database.
    known = threads_of(connection, [incident.id]).get(incident.id, {})
    rows = [
        {"incident": incident.id, "channel": channel, "body": encode(dict(thread))}
        for channel, thread in incident.threads.items()
        if channel not in known
    ]
    if rows:
        connection.execute(insert(THREADS), rows)


_THREADS_OF = select(THREADS).where(THREADS.c.incident.in_(bindparam("incidents", expanding=True)))


def threads_of(connection: Connection, incidents: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """What deliveries left behind: incident -> channel -> thread."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in connection.execute(_THREADS_OF, {"incidents": list(incidents)}) if incidents else ():
        found.setdefault(row.incident, {})[row.channel] = msgspec.json.decode(row.body)
    return found


def read_incidents(connection: Connection, model: str | None, *, open_only: bool, limit: int) -> list[Incident]:
    """Newest first."""
    query = _newest_incidents(of_model=model is not None, open_only=open_only)
    return _with_threads(connection, connection.execute(query, {"of_model": model, "most": limit}).all())


@cache
def _newest_incidents(*, of_model: bool, open_only: bool) -> Select[Any]:
    query = select(INCIDENTS.c.body, INCIDENTS.c.revision)
    if of_model:
        query = query.where(INCIDENTS.c.model == bindparam("of_model"))
    if open_only:
        query = query.where(INCIDENTS.c.state == IncidentState.OPEN.value)
    return query.order_by(INCIDENTS.c.opened_at.desc(), INCIDENTS.c.id).limit(bindparam("most", type_=Integer))


def read_incident(connection: Connection, incident_id: str) -> Incident | None:
    """One incident, None where there is none of that id."""
    query = select(INCIDENTS.c.body, INCIDENTS.c.revision).where(INCIDENTS.c.id == incident_id)
    found = _with_threads(connection, connection.execute(query).all())
    return found[0] if found else None


def _with_threads(connection: Connection, rows: Sequence[Any]) -> list[Incident]:
    incidents = [replace(decode(row.body, Incident), revision=row.revision) for row in rows]
    threads = threads_of(connection, [incident.id for incident in incidents])
    return [replace(incident, threads=threads.get(incident.id, {})) for incident in incidents]


def add_events(connection: Connection, events: Iterable[AlertEvent]) -> None:
    """Append transitions."""
    rows = [
        {
            "fingerprint": event.fingerprint,
            "seq": event.seq,
            "kind": event.kind,
            "window_end": to_micros(event.window_end),
            "evaluated_at": to_micros(event.evaluated_at),
            "severity": int(event.severity),
            "value": event.value,
            "incident": event.incident,
            "detail": encode(dict(event.detail)),
        }
        for event in events
    ]
    if rows:
        connection.execute(insert(ALERT_EVENTS), rows)


def read_events(
    connection: Connection, *, incident: str | None, fingerprint: str | None, kinds: Sequence[str] | None = None
) -> list[AlertEvent]:
    """Transitions in the order in which they were written."""
    query = select(ALERT_EVENTS).order_by(ALERT_EVENTS.c.id)
    if incident is not None:
        query = query.where(ALERT_EVENTS.c.incident == incident)
    if fingerprint is not None:
        query = query.where(ALERT_EVENTS.c.fingerprint == fingerprint)
    if kinds is not None:
        query = query.where(ALERT_EVENTS.c.kind.in_(kinds))
    return [_event(row._asdict()) for row in connection.execute(query)]


def _event(row: Mapping[str, Any]) -> AlertEvent:
    return AlertEvent(
        row["fingerprint"],
        row["seq"],
        row["kind"],
        from_micros(row["window_end"]),
        from_micros(row["evaluated_at"]),
        Severity(row["severity"]),
        row["value"],
        row["incident"],
        msgspec.json.decode(row["detail"]),
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
