"""Who heard of an incident: a message counts when its channel took it, not when it was queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.explaining import DASHBOARD
from tiltmeter.domain.message import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiltmeter.domain.message import Delivery

NOT_DELIVERED = "not delivered"
STATUS_WORDS = {
    DeliveryStatus.QUEUED: "waiting",
    DeliveryStatus.SENDING: "being sent",
    DeliveryStatus.SENT: "delivered",
    DeliveryStatus.DEAD: NOT_DELIVERED,
    DeliveryStatus.DROPPED: "not sent",
}
"""What became of a message, as people say it."""


def who_heard(deliveries: Iterable[Delivery]) -> tuple[list[str], dict[str, str]]:
    """Channels that took a message, and those that took none with what became of theirs; the dashboard tells nobody.

    Args:
        deliveries: of one incident.
    """
    status: dict[str, DeliveryStatus] = {}
    for one in deliveries:
        if one.message.channel == DASHBOARD:
            continue
        known = status.get(one.message.channel)
        if known is None or _ORDER.index(one.status) < _ORDER.index(known):
            status[one.message.channel] = one.status
    sent = sorted(channel for channel, one in status.items() if one is DeliveryStatus.SENT)
    return sent, {channel: STATUS_WORDS[status[channel]] for channel in sorted(status) if channel not in sent}


_ORDER = (
    DeliveryStatus.SENT, DeliveryStatus.SENDING, DeliveryStatus.QUEUED, DeliveryStatus.DEAD, DeliveryStatus.DROPPED,
)  # fmt: skip
"""The best that became of a channel's messages comes first."""


def heard_words(sent: Iterable[str], unsent: Mapping[str, str]) -> str:
    """`email, slack; not delivered: pagerduty`; empty where no message was meant for anybody."""
    words = dict.fromkeys(unsent.values())
    left = [f"{word}: {', '.join(channel for channel, one in unsent.items() if one == word)}" for word in words]
    parts = [", ".join(sent), *left]
    return "; ".join(part for part in parts if part)
