"""Messages on their way: queued with the window that caused them, claimed by lease, settled by whoever holds the lease.

Of one incident and channel only the lowest open sequence may be claimed, so that no recovery overtakes its alarm.
Coalescing happens when a message is queued, and only touches messages that were never tried.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, and_, bindparam, case, delete, func, insert, or_, select, update

from tiltmeter.domain.alert import AlertEvent
from tiltmeter.domain.message import Delivery, DeliveryStatus, Message, MessageKind, Receipt
from tiltmeter.ports import ChannelState
from tiltmeter.state.codec import decode, encode
from tiltmeter.state.incidents import add_events, threads_of
from tiltmeter.state.metrics import upsert
from tiltmeter.state.tables import CHANNEL_STATES, OUTBOX, THREADS, from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Row, Select

DASHBOARD = "dashboard"
"""Reserved channel name: the dashboard reads the database itself, nothing is sent."""

_OPEN = (DeliveryStatus.QUEUED.value, DeliveryStatus.SENDING.value)
_OPENING = (MessageKind.FIRED.value, MessageKind.REOPENED.value)
_RECOVERED = "Fired and recovered before this message could be sent."


def enqueue(connection: Connection, messages: Iterable[Message]) -> None:
    """Queue messages in order; a delivery id that is there already is left alone."""
    for message in messages:
        known = connection.execute(select(OUTBOX.c.status).where(OUTBOX.c.delivery_id == message.delivery_id))
        if known.first() is not None:
            continue
        queued = _coalesced(connection, message)
        _insert(connection, queued)
        _record(connection, queued, "message_queued", queued.created_at)


def _insert(connection: Connection, message: Message) -> None:
    shown = message.channel == DASHBOARD
    created = to_micros(message.created_at)
    row = {
        "delivery_id": message.delivery_id,
        "channel": message.channel,
        "incident": message.incident,
        "kind": message.kind.value,
        "severity": int(message.severity),
        "sequence": message.sequence,
        "created_at": created,
        "status": DeliveryStatus.SENT.value if shown else DeliveryStatus.QUEUED.value,
        "due_at": created,
        "attempts": 0,
        "holder": "",
        "reconcile": message.reconcile,
        "sent_at": created if shown else None,
        "last_error": "",
        "body": encode(message),
    }
    connection.execute(insert(OUTBOX), row)


def _coalesced(connection: Connection, message: Message) -> Message:
    """The message to queue, after the untried ones that it makes pointless are dropped."""
    if not message.incident or message.kind not in {MessageKind.RESOLVED, MessageKind.UPDATED}:
        return message
    waiting = connection.execute(
        select(OUTBOX.c.delivery_id, OUTBOX.c.kind, OUTBOX.c.attempts, OUTBOX.c.sequence)
        .where(
            OUTBOX.c.incident == message.incident,
            OUTBOX.c.channel == message.channel,
            OUTBOX.c.status.in_(_OPEN),
        )
        .order_by(OUTBOX.c.sequence)
    ).all()
    if message.kind is MessageKind.UPDATED:
        stale = [row for row in waiting if row.kind == MessageKind.UPDATED.value and not row.attempts]
        _drop(connection, stale, message, "replaced by a newer update")
        return message
    if any(row.attempts for row in waiting) or not any(row.kind in _OPENING for row in waiting):
        return message
    _drop(connection, waiting, message, "recovered before it could be sent")
    effect = f"{_RECOVERED} {message.content.effect}".rstrip()
    return replace(message, content=replace(message.content, effect=effect))


def _drop(connection: Connection, rows: Sequence[Any], by: Message, why: str) -> None:
    if rows:
        connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.delivery_id.in_([row.delivery_id for row in rows]))
            .values(status=DeliveryStatus.DROPPED.value, last_error=f"{why} ({by.delivery_id})")
        )


def anything_due(connection: Connection, now: datetime, *, channels: Sequence[str]) -> bool:
    """Whether a claim would find something."""
    return connection.execute(_ANYTHING_DUE, _asked(to_micros(now), channels)).first() is not None


def claim(
    connection: Connection, now: datetime, *, holder: str, channels: Sequence[str], lease: timedelta
) -> Delivery | None:
    """Take the next due message of the channels, worst severity first; None when nothing is due."""
    moment = to_micros(now)
    found = connection.execute(_NEXT_DUE, _asked(moment, channels)).one_or_none()
    return None if found is None else _taken(connection, found, moment, holder=holder, lease=lease)


def release_claims_of(connection: Connection, holder: str, at: datetime) -> int:
    """Let the claims of a dead process run out at that moment; the next one to claim has to look first."""
    wanted = (OUTBOX.c.holder == holder, OUTBOX.c.status == DeliveryStatus.SENDING.value)
    return connection.execute(update(OUTBOX).where(*wanted).values(lease_until=to_micros(at))).rowcount


def _due() -> Select[Any]:
    moment = bindparam("moment", type_=BigInteger)
    earlier = OUTBOX.alias("earlier")
    blocked = (
        select(earlier.c.delivery_id)
        .where(
            earlier.c.incident == OUTBOX.c.incident,
            earlier.c.channel == OUTBOX.c.channel,
            earlier.c.sequence < OUTBOX.c.sequence,
            earlier.c.status.in_(_OPEN),
        )
        .exists()
    )
    due = or_(
        and_(OUTBOX.c.status == DeliveryStatus.QUEUED.value, OUTBOX.c.due_at <= moment),
        and_(OUTBOX.c.status == DeliveryStatus.SENDING.value, OUTBOX.c.lease_until <= moment),
    )
    paused = select(CHANNEL_STATES.c.channel).where(CHANNEL_STATES.c.paused_until > moment)
    return (
        select(OUTBOX)
        .where(OUTBOX.c.channel.in_(bindparam("channels", expanding=True)), OUTBOX.c.channel.not_in(paused), due)
        .where(or_(OUTBOX.c.incident == "", ~blocked))
        .order_by(OUTBOX.c.severity.desc(), OUTBOX.c.due_at, OUTBOX.c.created_at, OUTBOX.c.sequence)
        .limit(1)
    )


# Built once: senders ask every second, and putting this together takes longer than the database needs to answer.
_NEXT_DUE = _due().with_for_update(skip_locked=True, of=OUTBOX)
_ANYTHING_DUE = _due().with_only_columns(OUTBOX.c.delivery_id)


def _asked(moment: int, channels: Sequence[str]) -> dict[str, Any]:
    return {"moment": moment, "channels": list(channels)}


def _taken(connection: Connection, row: Row[Any], moment: int, *, holder: str, lease: timedelta) -> Delivery:
    expired = row.status == DeliveryStatus.SENDING.value
    values = {
        "status": DeliveryStatus.SENDING.value,
        "attempts": row.attempts + 1,
        "holder": holder,
        "lease_until": to_micros(from_micros(moment) + lease),
        # Whoever held it may have sent it and died before saying so.
        "reconcile": bool(row.reconcile or expired),
        "first_tried_at": row.first_tried_at if row.first_tried_at is not None else moment,
    }
    connection.execute(update(OUTBOX).where(OUTBOX.c.delivery_id == row.delivery_id).values(values))
    threads = threads_of(connection, [row.incident]).get(row.incident, {})
    return _delivery({**row._asdict(), **values}, thread=threads.get(row.channel, {}))


def _delivery(row: Mapping[str, Any], *, thread: Mapping[str, str] | None = None) -> Delivery:
    message = decode(row["body"], Message)
    message = replace(
        message,
        thread=message.thread if thread is None else {**message.thread, **thread},
        attempt=max(1, row["attempts"]),
        reconcile=bool(row["reconcile"]),
        first_tried_at=_moment(row["first_tried_at"]),
    )
    return Delivery(
        message,
        DeliveryStatus(row["status"]),
        from_micros(row["due_at"]),
        attempts=row["attempts"],
        lease_until=_moment(row["lease_until"]),
        sent_at=_moment(row["sent_at"]),
        last_error=row["last_error"],
        receipt=decode(row["receipt"], Receipt) if row["receipt"] else None,
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


_EVENT_OF = {
    DeliveryStatus.SENT: "message_sent",
    DeliveryStatus.QUEUED: "message_retried",
    DeliveryStatus.DEAD: "message_dead",
}


def settle(
    connection: Connection,
    delivery: Delivery,
    status: DeliveryStatus,
    *,
    holder: str,
    now: datetime,
    due_at: datetime | None = None,
    receipt: Receipt | None = None,
    error: str = "",
    reconcile: bool = False,
) -> bool:
    """Record the end of one try; False when somebody else claimed the message meanwhile."""
    message = delivery.message
    values: dict[str, Any] = {"status": status.value, "holder": "", "lease_until": None, "last_error": error}
    if status is DeliveryStatus.SENT:
        values |= {"sent_at": to_micros(now), "reconcile": False}
    elif reconcile:
        values["reconcile"] = True
    if due_at is not None:
        values["due_at"] = to_micros(due_at)
    if receipt is not None:
        values["receipt"] = encode(replace(receipt, thread={}))  # threads may hold routing keys; they are kept once
    changed = connection.execute(
        update(OUTBOX)
        .where(
            OUTBOX.c.delivery_id == message.delivery_id,
            OUTBOX.c.status == DeliveryStatus.SENDING.value,
            OUTBOX.c.holder == holder,
            OUTBOX.c.attempts == delivery.attempts,
        )
        .values(values)
    )
    if changed.rowcount != 1:
        return False
    if receipt is not None and receipt.thread and message.incident:
        _keep_thread(connection, message, receipt.thread)
    if status in _EVENT_OF:
        _record(connection, message, _EVENT_OF[status], now, error=error)
    return True


def _keep_thread(connection: Connection, message: Message, thread: Mapping[str, str]) -> None:
    known = threads_of(connection, [message.incident]).get(message.incident, {}).get(message.channel, {})
    row = {"incident": message.incident, "channel": message.channel, "body": encode({**known, **thread})}
    upsert(connection, THREADS, ("incident", "channel"), [row])


def _record(connection: Connection, message: Message, kind: str, now: datetime, *, error: str = "") -> None:
    if not message.incident:
        return
    detail: dict[str, str | float | int | None] = {
        "channel": message.channel,
        "message": message.kind.value,
        "delivery_id": message.delivery_id,
        "attempt": message.attempt,
    }
    if error:
        detail["error"] = error
    event = AlertEvent("", message.sequence, kind, now, now, message.severity, None, message.incident, detail)
    add_events(connection, [event])


def read_deliveries(
    connection: Connection, *, incident: str | None = None, status: DeliveryStatus | None = None
) -> list[Delivery]:
    """Outbox rows in order of creation and sequence."""
    query = select(OUTBOX).order_by(OUTBOX.c.created_at, OUTBOX.c.sequence, OUTBOX.c.channel, OUTBOX.c.delivery_id)
    if incident is not None:
        query = query.where(OUTBOX.c.incident == incident)
    if status is not None:
        query = query.where(OUTBOX.c.status == status.value)
    return [_delivery(row._asdict()) for row in connection.execute(query)]


def pause_channel(connection: Connection, channel: str, until: datetime, reason: str) -> None:
    """Keep the later of the stored end and this one."""
    stored = connection.execute(
        select(CHANNEL_STATES.c.paused_until).where(CHANNEL_STATES.c.channel == channel)
    ).scalar_one_or_none()
    if stored is None or stored < to_micros(until):
        row = {"channel": channel, "paused_until": to_micros(until), "reason": reason}
        upsert(connection, CHANNEL_STATES, ("channel",), [row])


def read_channel_states(connection: Connection) -> list[ChannelState]:
    """Every channel that has a pause or ever had a message."""
    is_open = OUTBOX.c.status.in_(_OPEN)
    counted = connection.execute(
        select(
            OUTBOX.c.channel,
            func.sum(case((is_open, 1), else_=0)).label("queued"),
            func.sum(case((OUTBOX.c.status == DeliveryStatus.DEAD.value, 1), else_=0)).label("dead"),
            func.min(case((is_open, OUTBOX.c.created_at))).label("oldest"),
            func.max(OUTBOX.c.sent_at).label("sent"),
        ).group_by(OUTBOX.c.channel)
    ).all()
    states = {
        row.channel: ChannelState(
            row.channel,
            queued=int(row.queued),
            dead=int(row.dead),
            oldest_at=_moment(row.oldest),
            last_sent_at=_moment(row.sent),
        )
        for row in counted
    }
    for row in connection.execute(select(CHANNEL_STATES)):
        state = states.get(row.channel, ChannelState(row.channel))
        states[row.channel] = replace(state, paused_until=from_micros(row.paused_until), reason=row.reason)
    return [states[name] for name in sorted(states)]


def forget_sent(connection: Connection, channel: str, before: datetime) -> int:
    """Delete sent messages of a channel that were queued before; how many."""
    gone = connection.execute(
        delete(OUTBOX).where(
            OUTBOX.c.channel == channel,
            OUTBOX.c.status == DeliveryStatus.SENT.value,
            OUTBOX.c.created_at < to_micros(before),
        )
    )
    return gone.rowcount


_QUEUED_SINCE = (
    select(OUTBOX.c.channel, func.count()).where(OUTBOX.c.created_at >= bindparam("since")).group_by(OUTBOX.c.channel)
)


def queued_since(connection: Connection, since: datetime) -> dict[str, int]:
    """Messages by channel that were queued at `since` or later."""
    return {row[0]: int(row[1]) for row in connection.execute(_QUEUED_SINCE, {"since": to_micros(since)})}
