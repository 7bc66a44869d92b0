"""PagerDuty's Events API v2: alerts opened, acknowledged and resolved by key, with its limits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

from tiltmeter.testing.receivers.http import HttpReceiver, Received, Reply
from tiltmeter.testing.receivers.inbox import Inbox


@dataclass(slots=True)
class Page:
    """One PagerDuty incident."""

    key: str
    routing_key: str
    state: str
    events: list[dict[str, Any]] = field(default_factory=list)


class PagerDutyReceiver(HttpReceiver):
    """One PagerDuty account that accepts every routing key.

    Args:
        folder: inbox folder, None for memory only.
        port: 0 lets the system choose.
    """

    def __init__(self, folder: Path | None = None, *, port: int = 0) -> None:
        super().__init__(self._reply, port=port)
        self.inbox = Inbox(folder)
        self.pages: list[Page] = []
        self._writing = Lock()

    def _reply(self, request: Received) -> Reply:
        if request.path != "/v2/enqueue" or len(request.body) > 512_000:
            return _json(413 if len(request.body) > 512_000 else 404, {"status": "invalid event"})
        try:
            event: dict[str, Any] = json.loads(request.body)
        except ValueError:
            return _json(400, {"status": "invalid event", "message": "Event object is invalid", "errors": ["JSON"]})
        if errors := _errors(event):
            return _json(400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors})
        with self._writing:
            self._apply(event)
        return _json(202, {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]})

    def _apply(self, event: dict[str, Any]) -> None:
        key, routing = event["dedup_key"], event["routing_key"]
        same = [page for page in self.pages if (page.key, page.routing_key) == (key, routing)]
        found = next((page for page in same if page.state != "resolved"), None)
        if found is None:
            if event["event_action"] != "trigger":
                return  # PagerDuty drops these
            found = Page(key, routing, "triggered")
            self.pages.append(found)
        states = {"acknowledge": "acknowledged", "resolve": "resolved"}
        found.state = states.get(event["event_action"], found.state)
        found.events.append({name: value for name, value in event.items() if name != "routing_key"})
        number = self.pages.index(found) + 1
        record = {"dedup_key": key, "state": found.state, "events": found.events}
        self.inbox.keep(f"{number:04d}-{key}", record, title=key, body=_body(found))


def _json(status: int, answer: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def _errors(event: dict[str, Any]) -> list[str]:
    errors = []
    if event.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        errors.append("'event_action' is missing or invalid")
    if not event.get("routing_key"):
        errors.append("'routing_key' is missing or blank")
    if not 0 < len(str(event.get("dedup_key", ""))) <= 255:
        errors.append("'dedup_key' is missing or longer than 255")
    payload = event.get("payload") or {}
    if event.get("event_action") == "trigger":
        if not 0 < len(payload.get("summary", "")) <= 1024:
            errors.append("'payload.summary' is missing or longer than 1024")
        if payload.get("severity") not in {"info", "warning", "error", "critical"}:
            errors.append("'payload.severity' is invalid")
        if not payload.get("source"):
            errors.append("'payload.source' is missing or blank")
    return errors


def _body(page: Page) -> str:
    first: dict[str, Any] = next((e["payload"] for e in reversed(page.events) if "payload" in e), {})
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{_value(value)}</td></tr>"
        for name, value in first.get("custom_details", {}).items()
    )
    history = "".join(f"<li>{escape(event['event_action'])}</li>" for event in page.events)
    head = f"{escape(str(first.get('severity', '')).upper())} · {escape(page.state)}"
    return (
        f'<p class="quiet">PagerDuty · {head} · {escape(page.key)}</p><h1>{escape(str(first.get("summary", "")))}</h1>'
        f"<table>{rows}</table><h2>Log</h2><ol>{history}</ol>"
    )


def _value(value: Any) -> str:  # noqa: ANN401 - a JSON value
    items = value if isinstance(value, list) else [value]
    return "<br>".join(escape(str(item)) for item in items)
