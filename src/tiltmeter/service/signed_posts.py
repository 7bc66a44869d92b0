"""Signed outcome posts (Standard Webhooks): who sent it, that it is fresh, and that it counts once.

webhook-id: any text, the same for every try      webhook-timestamp: epoch seconds
webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">, several apart by spaces
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.channels.webhook import signing_key
from tiltmeter.domain.errors import ConfigError
from tiltmeter.state.positions import ONE_TIME_LEASES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.config.load import Configuration
    from tiltmeter.ports import Clock, Lease, StateStore

TOLERANCE = timedelta(minutes=5)
"""How far the sender's clock and a slow network may be off."""

POST_LEASE = f"{ONE_TIME_LEASES}outcomes:"
"""Leases of posts that were accepted; they run out when their signature has become too old to be sent again."""

_MOST_ID = 200
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignatureError(Exception):
    """The post is refused; the text says why and nothing that would help to forge one."""


@dataclass(frozen=True, slots=True, eq=False)
class SignedPosts:
    """Checks posts against one secret.

    Args:
        key: of the HMAC.
        state: remembers which posts were accepted, for every process that answers.
        clock: time.
    """

    key: bytes
    state: StateStore
    clock: Clock

    def accept(self, headers: Mapping[str, str], body: bytes) -> Lease | None:
        """Check a post and take its id.

        Args:
            headers: lower-case names.
            body: as received.

        Returns:
            What `give_back` needs when the post could not be kept after all; None for a repeated one.

        Raises:
            BadSignatureError: unsigned, wrongly signed, or signed too long ago.
        """
        post, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        given = headers.get("webhook-signature", "").split()
        if not post or not stamp or not given:
            raise BadSignatureError("a signature is needed: webhook-id, webhook-timestamp, webhook-signature")
        signed = f"{post}.{stamp}.".encode() + body
        own = b"v1," + base64.b64encode(hmac.digest(self.key, signed, "sha256"))
        # Every candidate is compared, in constant time.
        matches = [hmac.compare_digest(own, one.encode()) for one in given]
        if not any(matches) or len(post) > _MOST_ID or not _SECONDS.fullmatch(stamp):
            raise BadSignatureError("the signature is wrong")
        now = self.clock.now()
        if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
            raise BadSignatureError("the signature is too old, or the clocks differ by more than five minutes")
        name = POST_LEASE + hashlib.blake2b(post.encode(), digest_size=16).hexdigest()
        # A stamp may lie ahead by the tolerance and stay valid as long after it.
        return self.state.take_lease(name, uuid.uuid4().hex, now=now, ttl=2 * TOLERANCE + timedelta(seconds=1))

    def give_back(self, lease: Lease) -> None:
        """The post was not kept: it may come again."""
        self.state.release_lease(lease)


def signed_posts_of(configuration: Configuration, state: StateStore, clock: Clock) -> SignedPosts | None:
    """The check of the configured secret; None where posts need no signature.

    Raises:
        ConfigError: the secret is missing or is no `whsec_` key.
    """
    secret = configuration.settings.server.outcomes_secret
    if secret is None:
        return None
    try:
        return SignedPosts(signing_key(secret.value(configuration.home)), state, clock)
    except ValueError as error:
        at = configuration.source.at("server", "outcomes_secret")
        raise ConfigError(str(error), at=at, hint="make one: echo whsec_$(openssl rand -base64 32)") from error
