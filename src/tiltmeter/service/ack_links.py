"""Signed links that acknowledge one incident: whoever holds one needs no key, and can do nothing else with it.

A link names its incident and its end; an HMAC-SHA256 over both makes it ours. Opening it changes nothing, because mail
scanners and previews open every link: the page behind it asks for a name and a click.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import StoreError, UsageError
from tiltmeter.domain.message import ACKNOWLEDGE, Message, MessageKind

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import Channel, Clock

VALID_FOR = timedelta(days=7)
KEY_FILE = "run/links.key"
PATH = "/ack"

_ASKS = frozenset({
    MessageKind.FIRED, MessageKind.WORSENED, MessageKind.REOPENED, MessageKind.REMINDED, MessageKind.ESCALATED,
    MessageKind.UPDATED, MessageKind.FLAPPING,
})  # fmt: skip
"""Kinds of messages that somebody may answer by taking care of the incident."""

_FOR_PEOPLE = frozenset({"smtp", "slack", "pagerduty"})
"""A webhook's receiver is a program, and programs have keys."""

_ALGORITHM = "sha256"
_PURPOSE = b"tiltmeter acknowledge 1"


@dataclass(frozen=True, slots=True, eq=False)
class AckLinks:
    """Makes and reads links.

    Args:
        key: secret of this installation.
        base_url: address under which people reach the pages.
        clock: time.
    """

    key: bytes
    base_url: str
    clock: Clock

    def attach(self, message: Message, channel: Channel) -> Message:
        """The message with its link, made as it is sent: links are never stored."""
        if not message.incident or message.kind not in _ASKS or channel.kind not in _FOR_PEOPLE:
            return message
        link = f"{self.base_url.rstrip('/')}{PATH}?t={self.token(message.incident)}"
        content = replace(message.content, links={ACKNOWLEDGE: link, **message.content.links})
        return replace(message, content=content)

    def token(self, incident: str) -> str:
        """What the link carries: incident, end in seconds since 1970, signature."""
        ends = int((self.clock.now() + VALID_FOR).timestamp())
        return f"{incident}.{ends}.{self._signature(incident, str(ends))}"

    def incident_of(self, token: str) -> str:
        """The incident that the token acknowledges.

        Raises:
            UsageError: it was not made here, was changed, or is too old.
        """
        incident, _, rest = token.partition(".")
        ends, _, signature = rest.partition(".")
        if not hmac.compare_digest(self._signature(incident, ends).encode(), signature.encode("utf-8", "replace")):
            raise UsageError("this link was not made here", hint="open the newest message of the incident")
        if datetime.fromtimestamp(int(ends), UTC) < self.clock.now():
            raise UsageError(
                f"this link is older than {VALID_FOR.days} days", hint="open the newest message of the incident"
            )
        return incident

    def _signature(self, incident: str, ends: str) -> str:
        said = b"\0".join((_PURPOSE, incident.encode("utf-8", "replace"), ends.encode("utf-8", "replace")))
        return base64.urlsafe_b64encode(hmac.digest(self.key, said, _ALGORITHM)).decode().rstrip("=")


def link_key(configuration: Configuration) -> bytes:
    """The configured key, else one that this home keeps to itself.

    Several hosts that share a state database need the same key: set `server.link_key`.

    Raises:
        ConfigError: the configured secret cannot be read.
        StoreError: the key's file cannot be written or read.
    """
    configured = configuration.settings.server.link_key
    if configured is not None:
        return str(configured.value(configuration.home)).encode()
    return _kept_key(configuration.home / KEY_FILE)


def _kept_key(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return path.read_bytes()
        key = secrets.token_hex(32).encode()
        with os.fdopen(handle, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(
            f"the key of acknowledgement links cannot be kept ({error.strerror})",
            at=str(path),
            hint="make the folder writable, or set server.link_key",
        ) from error
    return key
