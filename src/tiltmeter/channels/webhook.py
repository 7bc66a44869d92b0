"""A signed JSON POST to any address, as the Standard Webhooks specification describes it.

Headers: `webhook-id` (the same at every try, to drop repeats by), `webhook-timestamp` (of the try) and
`webhook-signature: v1,<base64 HMAC-SHA256 of "id.timestamp.body">`, one signature a secret: keys can be rotated.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, SecretStr, field_validator, model_validator

from tiltmeter.channels import _http
from tiltmeter.channels.redaction import redact
from tiltmeter.channels.settings import ChannelPart, SecretWebAddress, WebAddress, is_reference
from tiltmeter.channels.wording import headline, one_line, safe_links
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import Receipt

if TYPE_CHECKING:
    from tiltmeter.domain.message import Message
    from tiltmeter.ports import Clock

LARGEST_BODY = 20_000  # bytes, the specification's advice
SCHEMA = "tiltmeter.message/1"
_PREFIX = "whsec_"
_WAIT_S = 30.0
_LONGEST_TEXT = 2_000


class WebhookSettings(ChannelPart):
    """`{kind: webhook, url: "env:HOOK_URL", secret: "env:HOOK_SECRET"}`; `allow_private: true` for own networks."""

    clear_text: ClassVar[frozenset[str]] = frozenset({"url"})

    url: SecretWebAddress | None = None
    api_url: WebAddress | None = None
    secret: SecretStr
    secret_before: SecretStr | None = Field(default=None, description="old secret while keys are rotated")
    allow_private: bool = False

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if (self.url is None) == (self.api_url is None):
            raise ValueError("give the address as url (env: or file:, it is a secret) or, for tests, as api_url")
        return self

    @field_validator("secret", "secret_before")
    @classmethod
    def _decodable(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not is_reference(secret.get_secret_value()):
            signing_key(secret.get_secret_value())
        return secret


def signing_key(secret: str) -> bytes:
    """The bytes behind `whsec_<base64>`.

    Raises:
        ValueError: it is not base64, or shorter than 24 bytes (the specification's least).
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is whsec_ and base64") from None
    if len(key) < 24:
        raise ValueError("a webhook secret holds at least 24 bytes")
    return key


def signature(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` as the receiver computes it."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(signing_key(secret), signed, "sha256")).decode()


class WebhookChannel:
    """Posts."""

    kind = "webhook"
    settings_model = WebhookSettings

    def __init__(self, name: str, settings: WebhookSettings, *, clock: Clock) -> None:
        self.name = name
        self.fallback = settings.fallback
        self._settings = settings
        self._clock = clock
        self._url = settings.api_url or (settings.url.get_secret_value() if settings.url else "")
        keys = [settings.secret, settings.secret_before]
        self._keys = [key.get_secret_value() for key in keys if key is not None]
        self._secrets = [self._url, *self._keys]

    def send(self, message: Message) -> Receipt:
        """Post the message; any 2xx is success."""
        body = message_body(message)
        moment = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.delivery_id,
            "webhook-timestamp": str(moment),
            "webhook-signature": " ".join(signature(key, message.delivery_id, moment, body) for key in self._keys),
        }
        try:
            answer = _http.post(
                self._url,
                body,
                headers=headers,
                clock=self._clock,
                timeout_s=self._settings.timeout_s,
                public_only=not self._settings.allow_private,
            )
        except DeliveryError as error:
            error.at, error.what = self.name, redact(error.what, self._secrets)
            raise
        if 200 <= answer.status < 300:
            return Receipt(reference=message.delivery_id, thread={"webhook": "1"})
        raise self._refused(answer)

    def connect(self) -> None:
        """Prove that the address can be reached; posts nothing.

        Raises:
            DeliveryError: it cannot, or it lies in the private network.
        """
        _http.reach(
            self._url, timeout_s=self._settings.timeout_s, at=self.name, public_only=not self._settings.allow_private
        )

    def _refused(self, answer: _http.Answer) -> DeliveryError:
        host = urlsplit(self._url).hostname
        wait = _http.retry_after(answer, self._clock)
        if answer.status == 429:
            return self._error(f"{host} asks for fewer messages (429)", retry_after=_WAIT_S if wait is None else wait)
        if answer.status >= 500 or answer.status in {408, 425}:
            return self._error(f"{host} failed ({answer.status})", unknown=True, retry_after=wait)
        said = one_line(answer.body, 200)
        return self._error(f"{host} refused the message ({answer.status} {said})".replace(" )", ")"), retryable=False)

    def _error(self, what: str, **more: Any) -> DeliveryError:  # noqa: ANN401 - keywords of DeliveryError
        return DeliveryError(redact(what, self._secrets), at=self.name, **more)


def message_body(message: Message) -> bytes:
    """The message as JSON of at most 20,000 bytes; long texts and the table are cut, the headline stays."""
    content = message.content
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "delivery_id": message.delivery_id,
        "incident": message.incident,
        "model": one_line(message.model, 200),
        "kind": message.kind.value,
        "severity": message.severity.word,
        "sequence": message.sequence,
        "created_at": message.created_at.isoformat(),
        "text": headline(message, 500),
        "title": one_line(content.title, 500),
        "effect": one_line(content.effect, _LONGEST_TEXT),
        "facts": {one_line(k, 80): one_line(v, 500) for k, v in content.facts.items()},
        "rows": [
            {
                "subject": one_line(row.subject, 200),
                "severity": row.severity.word,
                "measure": one_line(row.measure, 80),
                "value": one_line(row.value, 80),
                "change": one_line(row.change, 200),
            }
            for row in content.rows
        ],
        "more": content.more,
        "actions": [one_line(action, 500) for action in content.actions],
        "links": safe_links(content),
        "footer": one_line(content.footer, 500),
    }
    for dispensable in ("rows", "facts", "actions", "links"):
        while len(msgspec.json.encode(fields)) > LARGEST_BODY and fields[dispensable]:
            fields["cut"] = True
            kept = list(fields[dispensable])[: len(fields[dispensable]) // 2]
            is_map = isinstance(fields[dispensable], dict)
            fields[dispensable] = {name: fields[dispensable][name] for name in kept} if is_map else kept
    return msgspec.json.encode(fields)
