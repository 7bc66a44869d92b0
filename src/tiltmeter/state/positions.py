"""Small kept things: silences, watermarks, leases, heartbeats, baselines in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, select, update

from tiltmeter.domain.alert import Silence
from tiltmeter.domain.baseline import BaselineRecord
from tiltmeter.ports import Lease
from tiltmeter.state.codec import decode, encode
from tiltmeter.state.metrics import upsert
from tiltmeter.state.tables import BASELINES, HEARTBEATS, LEASES, SILENCES, WATERMARKS, from_micros, to_micros

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

ONE_TIME_LEASES = "once:"
"""Leases whose names never come back; `retain` deletes them when they have run out."""


def save_silence(connection: Connection, silence: Silence) -> None:
    """Add or replace."""
    row = {
        "id": silence.id,
        "starts_at": to_micros(silence.starts_at),
        "ends_at": to_micros(silence.ends_at),
        "body": encode(silence),
    }
    upsert(connection, SILENCES, ("id",), [row])


def read_silences(connection: Connection, now: datetime) -> list[Silence]:
    """Silences that are not over, those that have not begun included, by start."""
    query = select(SILENCES.c.body).where(SILENCES.c.ends_at > to_micros(now))
    bodies = connection.execute(query.order_by(SILENCES.c.starts_at, SILENCES.c.id)).scalars()
    return [decode(body, Silence) for body in bodies]


def read_watermark(connection: Connection, name: str) -> str | None:
    """A kept position."""
    query = select(WATERMARKS.c.value).where(WATERMARKS.c.name == name)
    return connection.execute(query).scalar_one_or_none()


def read_watermarks(connection: Connection, prefix: str) -> dict[str, str]:
    """Kept positions whose name starts so."""
    query = select(WATERMARKS).where(WATERMARKS.c.name.startswith(prefix, autoescape=True))
    return {row.name: row.value for row in connection.execute(query.order_by(WATERMARKS.c.name))}


def set_watermark(connection: Connection, name: str, value: str) -> None:
    """Keep a position."""
    upsert(connection, WATERMARKS, ("name",), [{"name": name, "value": value}])


def take_lease(connection: Connection, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease | None:
    """Take or renew; the fencing number grows whenever the holder changes or a lease had run out."""
    moment, until = to_micros(now), now + ttl
    row = connection.execute(select(LEASES).where(LEASES.c.name == name).with_for_update()).one_or_none()
    if row is None:
        given = {"name": name, "holder": holder, "fencing": 1, "expires_at": to_micros(until)}
        connection.execute(insert(LEASES), given)
        return Lease(name, holder, 1, until)
    if row.holder != holder and row.expires_at > moment:
        return None
    renewed = row.holder == holder and row.expires_at > moment
    fencing = row.fencing if renewed else row.fencing + 1
    connection.execute(
        update(LEASES).where(LEASES.c.name == name).values(holder=holder, fencing=fencing, expires_at=to_micros(until))
    )
    return Lease(name, holder, fencing, until)


def is_leased(connection: Connection, name: str, now: datetime) -> bool:
    """Whether a lease of this name has not run out."""
    until = connection.execute(select(LEASES.c.expires_at).where(LEASES.c.name == name)).scalar_one_or_none()
    return until is not None and until > to_micros(now)


def holds_lease(connection: Connection, lease: Lease) -> bool:
    """Whether nobody took the lease since; locks its row until the end of the transaction."""
    row = connection.execute(select(LEASES).where(LEASES.c.name == lease.name).with_for_update()).one_or_none()
    return row is not None and row.holder == lease.holder and row.fencing == lease.fencing


def forget_leases(connection: Connection, now: datetime) -> None:
    """Delete one-time leases that ran out; of others the fencing number has to stay."""
    wanted = LEASES.c.name.startswith(ONE_TIME_LEASES, autoescape=True)
    connection.execute(delete(LEASES).where(wanted, LEASES.c.expires_at < to_micros(now)))


def release_lease(connection: Connection, lease: Lease) -> None:
    """End it now; nothing happens when somebody else holds it."""
    connection.execute(
        update(LEASES)
        .where(LEASES.c.name == lease.name, LEASES.c.holder == lease.holder, LEASES.c.fencing == lease.fencing)
        .values(expires_at=0)
    )


def release_leases_of(connection: Connection, holder: str) -> int:
    """End every lease of a dead process; how many."""
    wanted = (LEASES.c.holder == holder, LEASES.c.expires_at > 0)
    return connection.execute(update(LEASES).where(*wanted).values(expires_at=0)).rowcount


def beat(connection: Connection, component: str, at: datetime, window: str) -> None:
    """Keep a proof of life."""
    row = {"component": component, "at": to_micros(at), "last_window": window}
    upsert(connection, HEARTBEATS, ("component",), [row])


def read_heartbeats(connection: Connection) -> dict[str, datetime]:
    """Last proof of life by component."""
    return {row.component: from_micros(row.at) for row in connection.execute(select(HEARTBEATS))}


def save_baseline(connection: Connection, record: BaselineRecord) -> None:
    """Add or replace the baseline of a model and name."""
    row = {
        "model": record.model,
        "name": record.name,
        "baseline_id": record.baseline_id,
        "bins_id": record.bins_id,
        "created_at": to_micros(record.created_at),
        "detail": encode({"source": record.source, "version": record.version}),
    }
    upsert(connection, BASELINES, ("model", "name"), [row])


def read_baselines(connection: Connection, model: str | None) -> list[BaselineRecord]:
    """Baselines in use, by model and name."""
    query = select(BASELINES).order_by(BASELINES.c.model, BASELINES.c.name)
    if model is not None:
        query = query.where(BASELINES.c.model == model)
    return [
        BaselineRecord(
            row.model,
            row.name,
            row.baseline_id,
            row.bins_id,
            from_micros(row.created_at),
            **msgspec.json.decode(row.detail, type=dict[str, str]),
        )
        for row in connection.execute(query)
    ]
