"""Names that stay the same over restarts and machines: hashes of what a thing is, never of when it was seen."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.message import MessageKind
    from tiltmeter.domain.metric import Subject


def fingerprint(rule: str, subject: Subject) -> str:
    """Identity of an alert: rule id and sorted labels; never value, severity, threshold, window or revision."""
    labels = sorted(subject.labels().items())
    return _digest([rule, *(part for label in labels for part in label)]).hex()


def alert_id(identity: str, episode: int) -> str:
    """`alr_` and 16 characters, one per fingerprint and episode."""
    return f"alr_{_short([identity, str(episode)])}"


def incident_id(first_alert: str) -> str:
    """`inc_` and 16 characters, from the alert that opened it: judging a window twice opens the same incident."""
    return f"inc_{_short(['incident', first_alert])}"


def delivery_id(incident: str, channel: str, kind: MessageKind, sequence: int) -> str:
    """Primary key of an outbox row: queueing the same message twice is one message."""
    return f"dlv_{_short([incident, channel, kind.value, str(sequence)])}"


def _digest(parts: Iterable[str]) -> bytes:
    # Lengths in front of the parts: ("ab", "c") and ("a", "bc") must differ, and names are hostile text.
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return hashed.digest()


def _short(parts: Iterable[str]) -> str:
    return base64.b32encode(_digest(parts)[:10]).decode("ascii").lower()
