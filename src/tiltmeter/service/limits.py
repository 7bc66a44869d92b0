"""What one caller may cost: the size of a body, its depth, and how long it may take to arrive (reliability.md, S9)."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_BODY_BYTES = 1_048_576
MAX_DEPTH = 32
BODY_SECONDS = 10.0
MOST_CONNECTIONS = 200
"""Requests served or waiting at once; the rest is answered 503 at once instead of filling the memory."""

_OPENS, _CLOSES, _QUOTE, _ESCAPE = frozenset(b"[{"), frozenset(b"]}"), ord('"'), ord("\\")


class BodyLimit:
    """Reads a body before anybody parses it, and refuses one that is too large, too deep or too slow.

    Args:
        app: an ASGI application.
        seconds: how long a body may take.
    """

    def __init__(self, app: Any, seconds: float = BODY_SECONDS) -> None:  # noqa: ANN401 - an ASGI application
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        """Answer 413, 400 or 408 instead of the application where the body is none for it."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_body(receive), self.seconds)
        except TimeoutError:
            await _refuse(send, 408, f"the body did not arrive within {self.seconds:g} seconds")
            return
        except _TooLarge:
            await _refuse(send, 413, f"the body is larger than {MAX_BODY_BYTES} bytes")
            return
        if depth_of(body) > MAX_DEPTH:
            await _refuse(send, 400, f"the body is nested deeper than {MAX_DEPTH} levels")
            return
        given = False

        async def whole() -> Any:  # noqa: ANN401 - an ASGI message
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, send)


class _TooLarge(Exception):
    """The body is over the limit."""


async def _body(receive: Any) -> bytes:  # noqa: ANN401 - ASGI
    parts, seen = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        seen += len(part)
        if seen > MAX_BODY_BYTES:
            raise _TooLarge
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


async def _refuse(send: Any, status: int, detail: str) -> None:  # noqa: ANN401 - ASGI
    body = f'{{"detail":"{detail}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def depth_of(body: bytes) -> int:
    """How deep a JSON text nests, brackets inside strings left out; counted without building anything."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == _ESCAPE:
                escaped = True
            elif byte == _QUOTE:
                in_string = False
        elif byte == _QUOTE:
            in_string = True
        elif byte in _OPENS:
            depth += 1
            if depth > MAX_DEPTH:
                return depth
            deepest = max(deepest, depth)
        elif byte in _CLOSES:
            depth -= 1
    return deepest
