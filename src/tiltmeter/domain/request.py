"""Ids and names of an HTTP request, in bounded form: nothing here takes more values than the service has routes."""

from __future__ import annotations

import re
from http import HTTPStatus

UNMATCHED = "(unmatched)"
"""Route of requests that no route matched: the raw path would make a new series for every scan of the internet."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_PLAIN = re.compile(rb"[\x21-\x7e]{1,128}")


def method_name(method: str) -> str:
    """The method, or OTHER for one a client made up."""
    return method if method in METHODS else "OTHER"


def trace_of(traceparent: bytes) -> tuple[str | None, str | None]:
    """Trace and span id of a W3C `traceparent` header, None for what is none."""
    match = _TRACEPARENT.match(traceparent)
    if match is None or not any(match[1].strip(b"0")) or not any(match[2].strip(b"0")):
        return None, None
    return match[1].decode(), match[2].decode()


def plain_id(value: bytes) -> str | None:
    """An id a client sent, None when it is longer than 128 characters or holds anything but visible ASCII."""
    return value.decode() if _PLAIN.fullmatch(value) else None


def answer_name(status: int) -> str:
    """A status code with its words: "503 Service Unavailable"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} unknown status"


def code_class(status: int) -> str:
    """Class of a status code, "2xx" to "5xx"."""
    return f"{status // 100}xx"


def route_name(method: str, template: str) -> str:
    """Route as traffic and configuration name it: "POST /score"."""
    return f"{method} {template}"
