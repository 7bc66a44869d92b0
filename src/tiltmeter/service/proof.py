"""`channels test`: a real message through the same outbox and the same sender as real alerts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta

from tiltmeter.channels import DASHBOARD
from tiltmeter.domain.errors import ConfigError, DeliveryError
from tiltmeter.domain.message import Content, Delivery, DeliveryStatus, Message, MessageKind
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import Channel, Clock, StateStore
from tiltmeter.registry import did_you_mean
from tiltmeter.service.sender import Sender


def prove_channel(
    name: str, *, state: StateStore, channels: Mapping[str, Channel], clock: Clock, user: str
) -> Delivery:
    """Send a test message and say what became of it.

    Args:
        name: channel.
        state: its outbox takes the message.
        channels: configured ones.
        clock: time.
        user: who asked, for the message.

    Raises:
        ConfigError: there is no such channel.
        DeliveryError: it was refused or could not be sent now; the text says why.
    """
    if name == DASHBOARD:
        raise ConfigError(f'"{DASHBOARD}" sends nothing: open it instead', hint="tiltmeter dashboard")
    if name not in channels:
        raise ConfigError(f'there is no channel "{name}"', hint=did_you_mean(name, list(channels)))
    message = _test_message(name, clock, user)
    state.enqueue([message])
    sender = Sender(state, {name: channels[name]}, clock, paced=False)
    while True:
        found = _delivery(state, message)
        if found.attempts or found.status is not DeliveryStatus.QUEUED or sender.deliver_one(name) is None:
            break
    found = _delivery(state, message)
    if found.status is DeliveryStatus.QUEUED and not found.attempts:
        raise DeliveryError(
            "the channel is paused, the test message waits in the outbox", at=name, hint="tiltmeter doctor says why"
        )
    if found.status in {DeliveryStatus.QUEUED, DeliveryStatus.DEAD}:
        hint = "it is tried again by `tiltmeter serve`" if found.status is DeliveryStatus.QUEUED else None
        raise DeliveryError(found.last_error.removeprefix(f"{name}: "), at=name, hint=hint)
    return found


def _test_message(name: str, clock: Clock, user: str) -> Message:
    now = clock.now()
    content = Content(
        "this is a test, nothing happened",
        effect="If you can read this, alerts reach you through this channel.",
        facts={"Channel": name, "Asked by": user, "At": f"{now:%Y-%m-%d %H:%M:%S} UTC"},
        footer=f"sent by `tiltmeter channels test {name}`",
    )
    delivery_id = f"test {uuid.uuid4().hex}"
    return Message(
        delivery_id,
        name,
        "",
        "",
        MessageKind.TEST,
        Severity.INFO,
        content,
        1,
        # Just past, so that a service that runs beside this cannot see it as not yet due.
        now - timedelta(microseconds=1),
    )


def _delivery(state: StateStore, message: Message) -> Delivery:
    found = [d for d in state.deliveries(incident="") if d.message.delivery_id == message.delivery_id]
    return found[0]
