"""A channel that delivers to nobody: the heartbeat's synthetic alert ends here, after it went the whole way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.channels.settings import ChannelPart
from tiltmeter.domain.message import Receipt

if TYPE_CHECKING:
    from tiltmeter.domain.message import Message
    from tiltmeter.ports import Clock


class NullSettings(ChannelPart):
    """`kind: "null"` has no keys of its own."""


class NullChannel:
    """Accepts everything."""

    kind = "null"
    settings_model = NullSettings

    def __init__(self, name: str, settings: NullSettings | None = None, *, clock: Clock | None = None) -> None:
        del clock
        self.name = name
        self.fallback = settings.fallback if settings else None

    def send(self, message: Message) -> Receipt:
        """Acknowledge the message."""
        return Receipt(reference=message.delivery_id)
