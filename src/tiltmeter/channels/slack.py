"""Slack: with a bot token one message per incident that is edited, replies in its thread, and no message twice.

With an incoming webhook (reduced mode) every message stands alone: Slack gives nothing back to edit or to look for.
"""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError

from pydantic import Field, SecretStr, model_validator
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from tiltmeter.channels import slack_blocks
from tiltmeter.channels._http import reach
from tiltmeter.channels.redaction import redact
from tiltmeter.channels.settings import ChannelPart, SecretWebAddress, WebAddress
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import Message, MessageKind, Receipt

if TYPE_CHECKING:
    from tiltmeter.ports import Clock

API_URL = "https://slack.com/api/"
EVENT_TYPE = "tiltmeter_delivery"
"""Type of the metadata by which a message of ours is found again."""

_WAIT_S = 30.0  # pause after a 429 that names none; Slack's own answers name 1 to 60 s
_LOOK_BACK = timedelta(seconds=5)  # Slack's clock and ours
_PAGES = 10  # of 200 messages: how far a look-up goes back at most
_LIMITED = {"ratelimited", "rate_limited"}
_UNKNOWN = {"internal_error", "fatal_error", "request_timeout"}  # may have succeeded in part
_LATER = {"service_unavailable", "team_added_to_org"}
_NO_ROOT = {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"}
_EDITS_ROOT = {
    MessageKind.UPDATED,
    MessageKind.WORSENED,
    MessageKind.ACKNOWLEDGED,
    MessageKind.RESOLVED,
    MessageKind.REOPENED,
    MessageKind.FLAPPING,
    MessageKind.DIGEST,
}
_BROADCAST = {MessageKind.WORSENED, MessageKind.ESCALATED}
_HINTS = {
    "channel_not_found": "check the channel's name, and invite the bot to it if it is private",
    "not_in_channel": "invite the bot to the channel: /invite @tiltmeter",
    "is_archived": "unarchive the channel or name another one",
    "invalid_auth": "the token is wrong: copy it anew from the app's settings",
    "token_revoked": "the token was revoked: install the app again",
    "missing_scope": "the app needs the scopes chat:write and channels:history",
    "no_service": "the webhook was removed: make a new one",
}

_ID = re.compile(r"[CGD][A-Z0-9]{8,}")  # Slack's ids of channels; everything else is a name
_CODE = re.compile(r"[a-z_]{1,60}")
_CANNOT_LOOK = {
    "missing_scope",
    "channel_not_found",
    "not_in_channel",
    "not_allowed_token_type",
    "method_not_supported",
}


def _silent_logger() -> logging.Logger:
    # slack_sdk logs failures, and bodies at debug level; errors reach people through DeliveryError only.
    logger = logging.getLogger("tiltmeter.channels.slack.sdk")
    logger.setLevel(logging.CRITICAL + 1)
    return logger


class SlackSettings(ChannelPart):
    """`{kind: slack, channel: "#ml-alerts", token: "env:SLACK_BOT_TOKEN"}`, or `webhook_url` instead of both."""

    channel: str = ""
    token: SecretStr | None = None
    webhook_url: SecretWebAddress | None = None
    api_url: WebAddress = API_URL
    fallback: str | None = Field(default=None, description="channel that stands in when Slack refuses")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("give either a token (with channel) or a webhook_url")
        if self.token is not None and not self.channel:
            raise ValueError('a token needs the channel it posts to, such as channel: "#ml-alerts"')
        return self


@dataclass(frozen=True, slots=True)
class _Post:
    """One message to write: the id it is found by, its text and blocks."""

    id: str
    text: str
    blocks: list[slack_blocks.Block]
    broadcast: bool = False


_Seen = dict[str, tuple[str, str]]
"""Delivery id -> channel id and timestamp of the message that Slack has."""


class SlackChannel:
    """Posts, edits and replies."""

    kind = "slack"
    settings_model = SlackSettings

    def __init__(self, name: str, settings: SlackSettings, *, clock: Clock) -> None:
        del clock
        self.name = name
        self.fallback = settings.fallback
        self._settings = settings
        self._ids: dict[str, str] = {}
        self._secrets = [s.get_secret_value() for s in (settings.token, settings.webhook_url) if s is not None]

    def send(self, message: Message) -> Receipt:
        """Deliver the message; with a token, a message that may have arrived is looked for before it is sent again."""
        if self._settings.token is None:
            return self._send_by_webhook(message)
        try:
            return self._send_by_token(message)
        except SlackApiError as error:
            raise self._refused(error) from None  # the original holds the request with its token
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            raise self._unreachable(error) from None

    def connect(self) -> None:
        """Prove that Slack can be reached and knows the token; posts nothing.

        Raises:
            DeliveryError: it cannot or does not.
        """
        if self._settings.webhook_url is not None:
            reach(self._settings.webhook_url.get_secret_value(), timeout_s=self._settings.timeout_s, at=self.name)
            return
        try:
            self._client().auth_test()
        except SlackApiError as error:
            raise self._refused(error) from None
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            raise self._unreachable(error) from None

    # -- with a token ---------------------------------------------------------------------------------------------

    def _client(self) -> WebClient:
        token = self._settings.token
        return WebClient(
            token=None if token is None else token.get_secret_value(),
            base_url=self._settings.api_url,
            timeout=max(1, round(self._settings.timeout_s)),
            retry_handlers=[],  # the outbox retries; the default would post twice after a cut connection
            logger=_silent_logger(),
        )

    def _send_by_token(self, message: Message) -> Receipt:
        client = self._client()
        channel, root = message.thread.get("channel", ""), message.thread.get("ts", "")
        seen: _Seen = {}
        blind = False
        if message.reconcile:
            looked = self._seen(client, message, channel or self._settings.channel, root)
            seen, blind = looked or {}, looked is None
        if root and (found := self._reply(client, message, channel, root, seen=seen)):
            return found
        return self._root(client, message, seen, blind=blind)

    def _root(self, client: WebClient, message: Message, seen: _Seen, *, blind: bool) -> Receipt:
        blocks = slack_blocks.root_blocks(message, repeated=blind)
        first = _Post(message.delivery_id, slack_blocks.fallback_text(message), blocks)
        channel, ts = seen.get(first.id) or self._write(client, first, self._settings.channel)
        rest = message.content.rows[slack_blocks.WORST_SHOWN :]
        if rest:
            blocks = slack_blocks.rest_blocks(rest, message.content.more)
            post = _Post(f"{message.delivery_id}/rest", slack_blocks.fallback_text(message), blocks)
            if message.reconcile:
                seen = {**seen, **(self._seen(client, message, channel, ts) or {})}
            if post.id not in seen:
                self._write(client, post, channel, thread=ts)
        return Receipt(reference=f"{channel}/{ts}", thread={"channel": channel, "ts": ts})

    def _reply(self, client: WebClient, message: Message, channel: str, root: str, *, seen: _Seen) -> Receipt | None:
        """The root message edited and a reply in its thread; None when the root is gone."""
        text = slack_blocks.fallback_text(message)
        try:
            edits = message.kind in _EDITS_ROOT and bool(message.content.facts or message.content.rows)
            if edits:
                client.chat_update(channel=channel, ts=root, text=text, blocks=slack_blocks.root_blocks(message))
            post = _Post(
                message.delivery_id,
                text,
                slack_blocks.note_blocks(message, short=edits),
                broadcast=message.broadcast or message.kind in _BROADCAST,
            )
            _, ts = seen.get(post.id) or self._write(client, post, channel, thread=root)
        except SlackApiError as error:
            if _code(error) in _NO_ROOT:
                return None
            raise
        return Receipt(reference=f"{channel}/{ts}", thread={"channel": channel, "ts": root})

    def _write(self, client: WebClient, post: _Post, channel: str, *, thread: str | None = None) -> tuple[str, str]:
        answer = client.chat_postMessage(
            channel=channel,
            text=post.text,
            blocks=post.blocks,
            thread_ts=thread,
            reply_broadcast=post.broadcast if thread else None,
            metadata={"event_type": EVENT_TYPE, "event_payload": {"delivery_id": post.id}},
            unfurl_links=False,
            unfurl_media=False,
            link_names=False,
            parse="none",
        )
        written, ts = answer.get("channel"), answer.get("ts")
        if not isinstance(written, str) or not isinstance(ts, str):
            raise DeliveryError("Slack answered without the id of the message", at=self.name, unknown=True)
        self._ids[channel] = written
        return written, ts

    def _seen(self, client: WebClient, message: Message, channel: str, root: str) -> _Seen | None:
        """Deliveries of ours that Slack has, by id, since shortly before the first try; None when we may not look."""
        try:
            return self._look(client, message, channel, root)
        except SlackApiError as error:
            # A message that is shown twice is better than one that is lost; it is marked as repeated.
            if _code(error) in _CANNOT_LOOK:
                return None
            raise

    def _look(self, client: WebClient, message: Message, channel: str, root: str) -> _Seen | None:
        since = (message.first_tried_at or message.created_at) - _LOOK_BACK
        found: _Seen = {}
        channel_id = channel if root else self._channel_id(client, channel)
        if channel_id is None:
            return None
        cursor = None
        for _ in range(_PAGES):
            window: dict[str, Any] = {
                "oldest": f"{since.timestamp():.6f}",
                "include_all_metadata": True,
                "limit": 200,
                "cursor": cursor,
            }
            if root:
                answer = client.conversations_replies(channel=channel_id, ts=root, **window)
            else:
                answer = client.conversations_history(channel=channel_id, **window)
            for item in answer.get("messages") or []:
                payload = (item.get("metadata") or {}).get("event_payload") or {}
                if payload.get("delivery_id"):
                    found[str(payload["delivery_id"])] = (channel_id, str(item.get("ts")))
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return found

    def _channel_id(self, client: WebClient, channel: str) -> str | None:
        """Reading a channel takes its id; posting gives it back, else it is looked up by name once."""
        if _ID.fullmatch(channel):
            return channel
        cursor = None
        while channel not in self._ids:
            answer = client.conversations_list(
                cursor=cursor, limit=1000, exclude_archived=True, types="public_channel,private_channel"
            )
            self._ids |= {f"#{item['name']}": str(item["id"]) for item in answer.get("channels") or []}
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return self._ids.get(channel) or self._ids.get(f"#{channel}")

    # -- with a webhook -------------------------------------------------------------------------------------------

    def _send_by_webhook(self, message: Message) -> Receipt:
        url = self._settings.webhook_url
        client = WebhookClient(
            "" if url is None else url.get_secret_value(),
            timeout=max(1, round(self._settings.timeout_s)),
            retry_handlers=[],
            logger=_silent_logger(),
        )
        try:
            answer = client.send(
                text=slack_blocks.fallback_text(message),
                blocks=slack_blocks.root_blocks(message, repeated=message.reconcile, threaded=False),
                unfurl_links=False,
                unfurl_media=False,
            )
        except (OSError, HTTPException, SlackClientError, ValueError) as error:
            raise self._unreachable(error) from None
        if answer.status_code == 200:
            return Receipt(thread={"webhook": "1"})
        raise self._by_status(answer.status_code, answer.body, answer.headers)

    # -- errors ---------------------------------------------------------------------------------------------------

    def _refused(self, error: SlackApiError) -> DeliveryError:
        answer = error.response
        status = getattr(answer, "status_code", 200)
        code = _code(error)
        if status == 429 or code in _LIMITED:
            return self._limited(getattr(answer, "headers", {}))
        if code in _UNKNOWN or status >= 500 or (not code and status < 400):
            return self._error(f"Slack failed ({code or status})", unknown=True)
        if code in _LATER:
            return self._error(f"Slack is not available ({code})")
        return self._error(f"Slack refused the message ({code or status})", retryable=False, hint=_HINTS.get(code))

    def _by_status(self, status: int, body: str, headers: Any) -> DeliveryError:  # noqa: ANN401 - a header mapping
        words = body.strip().split()
        code = words[0] if words else str(status)
        if status == 429:
            return self._limited(headers)
        if status >= 500:
            return self._error(f"Slack failed ({status} {code})", unknown=code != "rollup_error")
        return self._error(f"Slack refused the message ({status} {code})", retryable=False, hint=_HINTS.get(code))

    def _limited(self, headers: Any) -> DeliveryError:  # noqa: ANN401 - a header mapping
        given = {str(key).lower(): value for key, value in dict(headers or {}).items()}.get("retry-after")
        try:
            wait = float(given[0] if isinstance(given, list) else given)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            wait = _WAIT_S
        return self._error("Slack asks for fewer messages (429)", retry_after=max(0.0, wait))

    def _unreachable(self, error: Exception) -> DeliveryError:
        cause = error.reason if isinstance(error, URLError) else error
        name = type(cause).__name__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._error(
                "Slack's certificate is not trusted",
                retryable=False,
                hint="check api_url, and the proxy between here and Slack",
            )
        # Only what failed before anything was sent is certain not to have arrived.
        certain = isinstance(error, URLError) and not isinstance(cause, TimeoutError)
        return self._error(f"Slack gave no answer ({name})", unknown=not certain)

    def _error(self, what: str, **more: Any) -> DeliveryError:  # noqa: ANN401 - keywords of DeliveryError
        return DeliveryError(redact(what, self._secrets), at=self.name, **more)


def _code(error: SlackApiError) -> str:
    """Slack's own word for the error; empty when the answer was not Slack's (slack_sdk then quotes its text)."""
    try:
        code = str(error.response.get("error") or "")
    except ValueError:  # slack_sdk: an answer that is no JSON object has no fields to get
        return ""
    return code if _CODE.fullmatch(code) else ""
