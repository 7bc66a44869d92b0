"""What happens to a message that its channel will never take: the fallback channel gets it, everybody else is told."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from tiltmeter.channels import DASHBOARD, fallback_of
from tiltmeter.domain.message import Content, Message, MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.message import Delivery
    from tiltmeter.ports import Channel

# Kinds that stand in where no fallback is configured.
_STAND_INS = {"slack": ("smtp",), "pagerduty": ("smtp", "slack"), "smtp": ("slack",), "webhook": ("smtp",)}
_NOT_PASSED_ON = {MessageKind.TEST, MessageKind.META, MessageKind.REPORT, MessageKind.ACKNOWLEDGED}


def stand_ins(channel: str, channels: Mapping[str, Channel]) -> list[str]:
    """Channels that take over what `channel` refused: the configured fallback, else the first of a fitting kind."""
    known = channels.get(channel)
    configured = fallback_of(known) if known is not None else ""
    if configured:
        return [configured] if configured in channels and configured != channel else []
    kinds = _STAND_INS.get(known.kind, ()) if known is not None else ("smtp", "slack")
    found = []
    for kind in kinds:
        names = [name for name, one in channels.items() if one.kind == kind and name != channel]
        found += names[:1]
    return found


def passed_on(
    message: Message, error: str, *, now: datetime, to: Sequence[str], told: Sequence[Delivery]
) -> list[Message]:
    """The message again for each stand-in that does not get it anyway.

    Args:
        message: the refused one.
        error: why, secrets redacted.
        now: aware UTC.
        to: stand-ins.
        told: deliveries of the same incident.
    """
    if message.kind in _NOT_PASSED_ON:
        return []
    has_it = {d.message.channel for d in told if d.message.kind is message.kind and _same_moment(d.message, message)}
    effect = f"Sent here because {message.channel} did not take it: {error}. {message.content.effect}".rstrip()
    return [
        replace(
            message,
            channel=name,
            delivery_id=_digest(message.delivery_id, "fallback", name),
            content=replace(message.content, effect=effect),
            created_at=now,
            thread={},
            attempt=1,
            reconcile=False,
            first_tried_at=None,
        )
        for name in to
        if name not in has_it
    ]


def _same_moment(one: Message, other: Message) -> bool:
    return one.created_at == other.created_at


def meta_messages(
    channel: str, error: str, *, now: datetime, channels: Mapping[str, Channel], works_again: bool = False
) -> list[Message]:
    """One message to every other channel of people: that `channel` refuses messages, or takes them again."""
    paging = channel in channels and channels[channel].kind == "pagerduty"
    if works_again:
        title, severity = f"{channel} delivers again", Severity.INFO
        actions: tuple[str, ...] = ()
        effect = "Messages go out through it as before."
    else:
        title, severity = ("paging failed: " if paging else "") + f"{channel} refuses messages", Severity.CRITICAL
        effect = f"{error}. What it refuses goes to its fallback; nothing is lost."
        actions = ("Correct the channel in tiltmeter.yaml", f"Prove it: tiltmeter channels test {channel}")
    content = Content(title, effect=effect, facts={"Since": now.strftime("%Y-%m-%d %H:%M UTC")}, actions=actions)
    return [
        Message(
            _digest(channel, str(works_again), now.isoformat(), name),
            name,
            "",
            "",
            MessageKind.META,
            severity,
            content,
            1,
            now,
        )
        for name, one in channels.items()
        if name not in {channel, DASHBOARD} and one.kind != "null"
    ]


def _digest(*parts: str) -> str:
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
