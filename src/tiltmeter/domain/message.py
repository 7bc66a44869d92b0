"""What a channel is asked to deliver, and what it answers. Content is plain text; every channel escapes it itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.severity import Severity


ACKNOWLEDGE = "Acknowledge"
"""Label of the link by which somebody takes care of an incident."""


NEWS = "Now"
"""Label of the fact that says what is new in a message about an incident that people know."""


TAKEN = "Acknowledged"
"""Label of the fact that says who takes care of the incident."""


class MessageKind(StrEnum):
    """What happened to the incident."""

    FIRED = "fired"
    UPDATED = "updated"
    WORSENED = "worsened"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    FLAPPING = "flapping"
    DIGEST = "digest"
    META = "meta"
    TEST = "test"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of worst subjects."""

    subject: str
    severity: Severity
    measure: str
    value: str
    change: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The words of a message, in the order of a tired person's questions. Plain text, hostile names included.

    Args:
        title: one line without severity: "30 features drifted, worst lead_source PSI 0.61".
        effect: what changed, in words.
        facts: label -> text: What, Since, How bad, Who is hit, Likely cause.
        rows: worst subjects first.
        more: how many further subjects are left out of `rows`.
        actions: what to do, in order.
        links: label -> address.
        footer: incident, rule and revision, why you get this, next level.
        page: a self-contained HTML page that mail attaches; other channels leave it out.
    """

    title: str
    effect: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    more: int = 0
    actions: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    footer: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery to one channel.

    Args:
        delivery_id: hash of incident, channel, kind and sequence: sending the same id twice is one message.
        sequence: order within (incident, channel).
        thread: what earlier deliveries of this incident to this channel left behind.
        broadcast: a thread reply that the whole channel should see.
        attempt: 1 for the first try.
        reconcile: an earlier try may have arrived; look before sending again.
        first_tried_at: time of the first try.
    """

    delivery_id: str
    channel: str
    incident: str
    model: str
    kind: MessageKind
    severity: Severity
    content: Content
    sequence: int
    created_at: datetime
    thread: Mapping[str, str] = field(default_factory=dict)
    broadcast: bool = False
    attempt: int = 1
    reconcile: bool = False
    first_tried_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a channel gives back for a delivered message.

    Args:
        reference: the receiver's own id of the message, for people.
        thread: to be kept for later messages of the same incident.
        note: anything a person should know (a recipient that was refused), empty when all is well.
        dropped: nothing was sent because the receiver has no use for it (a recovery it never heard the alarm of).
    """

    reference: str = ""
    thread: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    dropped: bool = False


class DeliveryStatus(StrEnum):
    """Where an outbox row stands."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the outbox keeps it."""

    message: Message
    status: DeliveryStatus
    due_at: datetime
    attempts: int = 0
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    last_error: str = ""
    receipt: Receipt | None = None
