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
    from tiltmeter.ports import Clock, StateStore

TOLERANCE = timedelta(minutes=5)
"""How far the sender's clock and a slow network may be off."""

POST_LEASE = f"{ONE_TIME_LEASES}outcomes:"
"""Leases of posts whose outcomes are kept; they run out when their signature has become too old to be sent again."""

_MOST_ID = 200
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignatureError(Exception):
    """The post is refused; the text says why and nothing that would help to forge one."""


@dataclass(frozen=True, slots=True, eq=False)
class SignedPosts:
    """Checks posts against one secret.

    Args:
        key: of the HMAC.
        state: remembers which posts are kept, for every process that answers.
        clock: time.
    """

    key: bytes
    state: StateStore
    clock: Clock

    def checked(self, headers: Mapping[str, str], body: bytes) -> str:
        """Who sent it, and that it is fresh.

        Args:
            headers: lower-case names.
            body: as received.

        Returns:
            Name under which the post is remembered.

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
        if abs(self.clock.now().timestamp() - int(stamp)) > TOLERANCE.total_seconds():
            raise BadSignatureError("the signature is too old, or the clocks differ by more than five minutes")
        return POST_LEASE + hashlib.blake2b(post.encode(), digest_size=16).hexdigest()

    def is_kept(self, post: str) -> bool:
        """Whether everything of this post is in the spool already."""
        return self.state.is_leased(post, now=self.clock.now())

    def mark_kept(self, post: str) -> None:
        """Everything of this post is in the spool.

        Never earlier: a mark that outlives a killed process would have its outcomes taken for kept when they come
        again. Whoever delivers it at the same moment, or after a kill before this mark, spools the same outcomes once
        more under the same keys, which changes nothing.
        """
        # A stamp may lie ahead by the tolerance and stay valid as long after it.
        ttl = 2 * TOLERANCE + timedelta(seconds=1)
        self.state.take_lease(post, uuid.uuid4().hex, now=self.clock.now(), ttl=ttl)


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
