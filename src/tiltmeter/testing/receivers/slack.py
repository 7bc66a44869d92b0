"""Slack's Web API and incoming webhooks, as far as messages go: post, update, threads, metadata, history."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from threading import Lock
from time import time
from typing import Any
from urllib.parse import parse_qs

from tiltmeter.testing.receivers.http import HttpReceiver, Received, Reply
from tiltmeter.testing.receivers.inbox import Inbox

CHANNEL_ID = "C0TILTMETER"


class SlackReceiver(HttpReceiver):
    """A workspace with one channel.

    Args:
        folder: inbox folder, None for memory only.
        channel: its name.
        port: 0 lets the system choose.
        wall: seconds since 1970, for message timestamps.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        channel: str = "#ml-alerts",
        port: int = 0,
        wall: Callable[[], float] = time,
    ) -> None:
        super().__init__(self._reply, port=port)
        self.inbox = Inbox(folder)
        self.channel = channel
        self.messages: dict[str, dict[str, Any]] = {}
        self._wall = wall
        self._last = 0
        self._writing = Lock()

    @property
    def api_url(self) -> str:
        """For the channel's `api_url`."""
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        """For the channel's `webhook_url`."""
        return f"{self.url}/services/T000/B000/XXXXXXXX"

    def roots(self) -> list[dict[str, Any]]:
        """Messages in the channel, oldest first."""
        return [m for m in self.messages.values() if m.get("thread_ts") in {None, m["ts"]}]

    def replies(self, ts: str) -> list[dict[str, Any]]:
        """Replies to a message, oldest first."""
        return [m for m in self.messages.values() if m.get("thread_ts") == ts and m["ts"] != ts]

    def _reply(self, request: Received) -> Reply:
        fields = _fields(request)
        if request.path.startswith("/services/"):
            return self._webhook(fields)
        method = request.path.rsplit("/", 1)[-1]
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return _json({"ok": False, "error": "not_authed"})
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "conversations.list": self._list,
            "auth.test": lambda _: {"ok": True, "team": "Local", "user": "tiltmeter"},
        }
        if method not in answers:
            return _json({"ok": False, "error": "unknown_method"})
        with self._writing:
            return _json(answers[method](fields))

    def _webhook(self, fields: dict[str, Any]) -> Reply:
        if not fields.get("text") and not fields.get("blocks"):
            return Reply(400, b"no_text")
        with self._writing:
            self._add({"channel": CHANNEL_ID, "text": fields.get("text"), "blocks": fields.get("blocks") or []})
        return Reply(200, b"ok")

    def _post(self, fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("channel") not in {self.channel, self.channel.lstrip("#"), CHANNEL_ID}:
            return {"ok": False, "error": "channel_not_found"}
        if error := _block_error(fields.get("blocks") or []):
            return {"ok": False, "error": error}
        message = {key: fields[key] for key in ("text", "blocks", "metadata", "thread_ts") if fields.get(key)}
        if fields.get("reply_broadcast"):
            message["reply_broadcast"] = True
        if message.get("thread_ts") and message["thread_ts"] not in self.messages:
            return {"ok": False, "error": "thread_not_found"}
        kept = self._add({"channel": CHANNEL_ID, **message})
        return {"ok": True, "channel": CHANNEL_ID, "ts": kept["ts"], "message": kept}

    def _update(self, fields: dict[str, Any]) -> dict[str, Any]:
        kept = self.messages.get(str(fields.get("ts")))
        if kept is None or fields.get("channel") != CHANNEL_ID:
            return {"ok": False, "error": "message_not_found"}
        if error := _block_error(fields.get("blocks") or []):
            return {"ok": False, "error": error}
        kept |= {"text": fields.get("text"), "blocks": fields.get("blocks") or [], "edited": True}
        self._keep(kept["ts"])
        return {"ok": True, "channel": CHANNEL_ID, "ts": kept["ts"], "text": kept["text"]}

    def _history(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self._listed(
            [m for m in self.messages.values() if "thread_ts" not in m or m.get("reply_broadcast")], fields
        )

    def _replies(self, fields: dict[str, Any]) -> dict[str, Any]:
        ts = fields.get("ts")
        return self._listed([m for m in self.messages.values() if ts in {m.get("thread_ts"), m["ts"]}], fields)

    def _listed(self, messages: list[dict[str, Any]], fields: dict[str, Any]) -> dict[str, Any]:
        if fields.get("channel") != CHANNEL_ID:
            return {"ok": False, "error": "channel_not_found"}
        oldest = float(fields.get("oldest") or 0)
        found = [m for m in messages if float(m["ts"]) > oldest]
        start, limit = int(fields.get("cursor") or 0), int(fields.get("limit") or 100)
        page = found[::-1][start : start + limit]
        if str(fields.get("include_all_metadata")).lower() not in {"true", "1"}:
            page = [{key: value for key, value in m.items() if key != "metadata"} for m in page]
        more = str(start + limit) if len(found) > start + limit else ""
        return {"ok": True, "messages": page, "has_more": bool(more), "response_metadata": {"next_cursor": more}}

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "channels": [{"id": CHANNEL_ID, "name": self.channel.lstrip("#")}]}

    def _add(self, message: dict[str, Any]) -> dict[str, Any]:
        self._last = max(self._last + 1, int(self._wall() * 1_000_000))
        message["ts"] = f"{self._last / 1_000_000:.6f}"
        self.messages[message["ts"]] = message
        self._keep(message["ts"])
        return message

    def _keep(self, ts: str) -> None:
        message = self.messages[ts]
        root = str(message.get("thread_ts") or ts)
        if root != ts:
            self.inbox.keep(ts, message, title=str(message.get("text")), body=_page(message))
        shown = self.messages[root]
        replies = "".join(f'<div class="reply">{_page(reply)}</div>' for reply in self.replies(root))
        self.inbox.keep(root, shown, title=str(shown.get("text")), body=_page(shown) + replies)


def _json(answer: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def _fields(request: Received) -> dict[str, Any]:
    text = request.body.decode("utf-8", "replace")
    if text.startswith("{"):
        found: dict[str, Any] = json.loads(text)
        return found
    return {name: values[-1] for name, values in parse_qs(text).items()}


def _block_error(blocks: list[dict[str, Any]]) -> str:
    """Slack's limits, as its reference states them."""
    if len(blocks) > 50:
        return "invalid_blocks"
    for block in blocks:
        limit = 150 if block["type"] == "header" else 3000
        if "text" in block and not 0 < len(block["text"]["text"]) <= limit:
            return "invalid_blocks"
        fields = block.get("fields", [])
        if len(fields) > 10 or any(not 0 < len(field["text"]) <= 2000 for field in fields):
            return "invalid_blocks"
    # The sum is not documented; Slack was seen to refuse near this (bolt-js issue 2509).
    return "msg_blocks_too_long" if len(json.dumps(blocks, ensure_ascii=False)) > 26_400 else ""


def _page(message: dict[str, Any]) -> str:
    return (
        "".join(_block(block) for block in message.get("blocks") or []) or f"<p>{_mrkdwn(message.get('text', ''))}</p>"
    )


def _block(block: dict[str, Any]) -> str:
    if block["type"] == "header":
        return f"<h1>{escape(block['text']['text'])}</h1>"
    if block["type"] == "context":
        return f'<p class="quiet">{" ".join(_text(text) for text in block["elements"])}</p>'
    fields = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields", []))
    if fields:
        return f'<div class="fields">{fields}</div>'
    return f'<div class="section">{_text(block["text"])}</div>'


def _text(text: dict[str, Any]) -> str:
    return _mrkdwn(text["text"]) if text["type"] == "mrkdwn" else escape(text["text"])


def _mrkdwn(text: str) -> str:
    # Slack's own order: links stand in raw angle brackets, everything else arrives with & < > escaped.
    marked = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", "\x00\\1\x01\\2\x02", text or "")
    safe = escape(unescape(marked))
    safe = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<b>\1</b>", safe)
    safe = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", safe).replace("\n", "<br>")
    return re.sub("\x00([^\x01]*)\x01([^\x02]*)\x02", r'<a href="\1">\2</a>', safe)
