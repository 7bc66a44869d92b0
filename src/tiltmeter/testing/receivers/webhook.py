"""A receiver of signed webhooks that checks signatures and drops repeats by id, as the specification asks."""

from __future__ import annotations

import base64
import hmac
import json
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

from tiltmeter.testing.receivers.http import HttpReceiver, Received, Reply
from tiltmeter.testing.receivers.inbox import Inbox


class WebhookReceiver(HttpReceiver):
    """Accepts `POST /hook`.

    Args:
        secret: `whsec_<base64>`.
        folder: inbox folder, None for memory only.
        port: 0 lets the system choose.
    """

    def __init__(self, secret: str, folder: Path | None = None, *, port: int = 0) -> None:
        super().__init__(self._reply, port=port)
        self.inbox = Inbox(folder)
        self.calls: list[str] = []
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._writing = Lock()

    @property
    def hook_url(self) -> str:
        """For the channel's `url`."""
        return f"{self.url}/hook"

    def _reply(self, request: Received) -> Reply:
        message_id = request.headers.get("webhook-id", "")
        signed = f"{message_id}.{request.headers.get('webhook-timestamp')}.".encode() + request.body
        own = "v1," + base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        given = request.headers.get("webhook-signature", "").split()
        if not any(hmac.compare_digest(own, one) for one in given):
            return Reply(401, b"wrong signature")
        record: dict[str, Any] = json.loads(request.body)
        with self._writing:
            self.calls.append(message_id)
            text = str(record.get("text"))
            shown = f"<h1>{escape(text)}</h1><pre>{escape(json.dumps(record, indent=1))}</pre>"
            self.inbox.keep(message_id, record, title=text, body=shown)
        return Reply(204)
