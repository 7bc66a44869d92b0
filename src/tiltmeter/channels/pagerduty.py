"""PagerDuty Events API v2: trigger, acknowledge, resolve; one PagerDuty incident per incident of ours.

Source: PagerDuty developer documentation, events API v2 (limits of key, summary and body; answers; rates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import Field, SecretStr, field_validator

from tiltmeter.channels import _http
from tiltmeter.channels.redaction import redact
from tiltmeter.channels.settings import ChannelPart, WebAddress, is_reference
from tiltmeter.channels.wording import NAME_LENGTH, clean_lines, one_line, row_line, safe_links, table_of, titled
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import MessageKind, Receipt
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from tiltmeter.domain.message import Message
    from tiltmeter.ports import Clock

API_URL = "https://events.pagerduty.com"
LONGEST_KEY = 255
LONGEST_SUMMARY = 1024
LARGEST_BODY = 512_000  # bytes
_WAIT_S = 30.0  # pause after a 429 that names none: the limit is counted over 60 s
_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.WARNING: "warning",
    Severity.INFO: "info",
    Severity.NONE: "info",
}
_ACTIONS = {MessageKind.ACKNOWLEDGED: "acknowledge", MessageKind.RESOLVED: "resolve"}
_FOLLOW_UPS = {MessageKind.ACKNOWLEDGED, MessageKind.RESOLVED, MessageKind.UPDATED}


class PagerDutySettings(ChannelPart):
    """`{kind: pagerduty, routing_key: "env:PAGERDUTY_KEY"}`; `api_url: https://events.eu.pagerduty.com` in Europe."""

    routing_key: SecretStr
    api_url: WebAddress = API_URL
    fallback: str | None = Field(default=None, description="channel that stands in when paging fails")

    @field_validator("routing_key")
    @classmethod
    def _one_word(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not is_reference(text) and (not text or text != "".join(text.split())):
            raise ValueError("a routing key is one word of 32 characters")
        return key


class PagerDutyChannel:
    """Pages."""

    kind = "pagerduty"
    settings_model = PagerDutySettings

    def __init__(self, name: str, settings: PagerDutySettings, *, clock: Clock) -> None:
        self.name = name
        self.fallback = settings.fallback
        self._settings = settings
        self._clock = clock

    def send(self, message: Message) -> Receipt:
        """Send the event; the same event twice is one entry in one PagerDuty incident."""
        if message.kind is MessageKind.REPORT:
            return Receipt(dropped=True, note="reports page nobody")
        key = message.thread.get("dedup_key", "")
        if message.kind in _FOLLOW_UPS and not key:
            # PagerDuty drops these itself; not sending them saves its rate limit for real pages.
            return Receipt(dropped=True, note="nobody was paged about this incident")
        # An open incident keeps the key it was opened with: PagerDuty ignores a resolve through another one.
        routing = message.thread.get("routing_key") or self._settings.routing_key.get_secret_value()
        dedup = key or (message.incident or message.delivery_id)[:LONGEST_KEY]
        body = event_body(message, routing_key=routing, dedup_key=dedup)
        answer = self._post(body, routing)
        if answer.status in {200, 202}:
            return Receipt(reference=dedup, thread={"dedup_key": dedup, "routing_key": routing})
        raise self._refused(answer, routing)

    def connect(self) -> None:
        """Prove that PagerDuty can be reached; sends no event.

        Raises:
            DeliveryError: it cannot.
        """
        _http.reach(self._settings.api_url, timeout_s=self._settings.timeout_s, at=self.name)

    def _post(self, body: bytes, routing: str) -> _http.Answer:
        try:
            return _http.post(
                f"{self._settings.api_url.rstrip('/')}/v2/enqueue",
                body,
                headers={"Content-Type": "application/json"},
                clock=self._clock,
                timeout_s=self._settings.timeout_s,
            )
        except DeliveryError as error:
            error.at, error.what = self.name, redact(error.what, [routing])
            raise

    def _refused(self, answer: _http.Answer, routing: str) -> DeliveryError:
        said = redact(one_line(answer.body, 200), [routing, self._settings.routing_key.get_secret_value()])
        if answer.status == 429:
            wait = _http.retry_after(answer, self._clock)
            return DeliveryError(
                "PagerDuty asks for fewer events (429)", at=self.name, retry_after=max(wait or 0.0, _WAIT_S)
            )
        if answer.status >= 500:
            return DeliveryError(f"PagerDuty failed ({answer.status})", at=self.name, unknown=True)
        return DeliveryError(
            f"PagerDuty refused the event ({answer.status} {said})",
            at=self.name,
            hint="check the routing key, and api_url for the European region",
            retryable=False,
        )


def event_body(message: Message, *, routing_key: str, dedup_key: str) -> bytes:
    """The event as JSON of at most 512,000 bytes; summary and effect stay, the table is cut from its end."""
    action = _ACTIONS.get(message.kind, "trigger")
    event: dict[str, Any] = {"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key}
    if action != "trigger":
        return msgspec.json.encode(event)
    event |= {"client": "Tiltmeter", "payload": _payload(message)}
    found = safe_links(message.content)
    links = [{"href": url, "text": label} for label, url in found.items()]
    if links:
        event |= {"client_url": found.get("Incident", links[0]["href"]), "links": links}
    details = event["payload"]["custom_details"]
    while len(body := msgspec.json.encode(event)) > LARGEST_BODY:
        if not _shortened(details):
            event.pop("links", None)
            event["payload"]["custom_details"] = {"note": "left out: larger than PagerDuty accepts"}
            return msgspec.json.encode(event)
    return body


def _payload(message: Message) -> dict[str, Any]:
    content = message.content
    model = one_line(message.model, NAME_LENGTH)
    details: dict[str, Any] = {}
    if content.effect:
        details["Effect"] = clean_lines(content.effect)
    details |= {one_line(label, 40): one_line(text) for label, text in content.facts.items()}
    if content.actions:
        details["What to do"] = [one_line(action) for action in content.actions]
    rows, more = table_of(content, len(content.rows))
    if rows:
        details["Worst first"] = [row_line(row) for row in rows]
    if more:
        details["And more"] = more
    if content.footer:
        details["About"] = one_line(content.footer)
    payload = {
        "summary": one_line(f"{model}: {titled(message)}" if model else titled(message), LONGEST_SUMMARY),
        "source": model or "tiltmeter",
        "severity": _SEVERITIES[message.severity],
        "timestamp": message.created_at.isoformat(),
        "class": message.kind.value,
        "custom_details": details,
    }
    if content.rows:
        payload["component"] = one_line(content.rows[0].subject, NAME_LENGTH)
    return payload


def _shortened(details: dict[str, Any]) -> bool:
    """Half of the table gone, or the longest other text cut to half; False when nothing is left to cut."""
    worst = details.get("Worst first")
    if worst:
        details["Worst first"] = worst[: len(worst) // 2]
        details["Cut"] = "the table is longer: see the dashboard"
        return True
    texts = {name: value for name, value in details.items() if isinstance(value, str) and len(value) > 200}
    if texts:
        name = max(texts, key=lambda key: len(texts[key]))
        details[name] = texts[name][: len(texts[name]) // 2] + "…"
        return True
    return bool(details.pop("What to do", None))
