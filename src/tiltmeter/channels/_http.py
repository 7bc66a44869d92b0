"""The one HTTP client of the channels: one request, no redirects, a deadline for the whole of it, a guard against SSRF.

httpx is imported here and nowhere else in the channels, so that it can be swapped in one file.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from tiltmeter.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.ports import Clock

LONGEST_ANSWER = 65_536  # bytes read of an answer; receivers of messages answer with a few words
LONGEST_WAIT_S = 86_400.0  # a receiver cannot pause a channel for longer than a message lives
_FINAL_MESSAGES = {
    "certificate verify failed": "the receiver's certificate is not trusted: check the address and the certificate",
    "unsupported protocol": "write an http or https address",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=1)
def trusted_roots() -> ssl.SSLContext:
    """The machine's trusted certificates, read once: loading them takes 20 ms and more, most of a short request."""
    return ssl.create_default_context()


def post(
    url: str,
    content: bytes,
    *,
    headers: Mapping[str, str],
    clock: Clock,
    timeout_s: float,
    public_only: bool = False,
) -> Answer:
    """One POST.

    Args:
        url: http or https.
        content: body.
        headers: of the request.
        clock: its monotonic time bounds the whole exchange.
        timeout_s: for everything together.
        public_only: refuse addresses inside the private network, and connect to exactly the address that was checked.

    Raises:
        DeliveryError: no connection (retryable), no answer (unknown), or an address that may not be used (final).
    """
    host = urlsplit(url).hostname or ""
    target, extensions, sent_headers = url, {}, dict(headers)
    if public_only:
        target, sent_headers["Host"] = pinned(url, host)
        extensions = {"sni_hostname": host}
    _silence_logs()
    deadline = clock.monotonic() + timeout_s
    try:
        with (
            # A proxy would connect by name, past the address that was checked.
            httpx.Client(
                timeout=timeout_s, follow_redirects=False, trust_env=not public_only, verify=trusted_roots()
            ) as client,
            client.stream("POST", target, content=content, headers=sent_headers, extensions=extensions) as answer,
        ):
            body = _read(answer, clock, deadline)
            return Answer(answer.status_code, body, {k.lower(): v for k, v in answer.headers.items()})
    except httpx.InvalidURL:
        raise DeliveryError(f"{host} is no address that can be used", retryable=False) from None
    except httpx.HTTPError as error:
        raise _network_error(error, host) from None  # the original carries the address, which may be a secret


def _silence_logs() -> None:
    # httpx logs every address at level INFO, and the address of a webhook is a secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def pinned(url: str, host: str, *, resolve: Callable[..., list[Any]] = socket.getaddrinfo) -> tuple[str, str]:
    """The URL with the checked address in place of the name, and the name for the request.

    The name is looked up once: what is checked is what is connected to, whatever the name says a moment later.

    Raises:
        DeliveryError: as `public_address`, or the URL cannot be used (final).
    """
    address = public_address(host, urlsplit(url).port, resolve=resolve)
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(host=address)), parsed.netloc.decode()
    except httpx.InvalidURL:
        raise DeliveryError(f"{host} is no address that can be used", retryable=False) from None


def reach(url: str, *, timeout_s: float, at: str, public_only: bool = False) -> None:
    """Open and close a connection to the address, certificate checked.

    Raises:
        DeliveryError: it cannot be opened.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = public_address(host, port) if public_only else host
    try:
        with socket.create_connection((target, port), timeout=timeout_s) as plain:
            if parts.scheme == "https":
                with trusted_roots().wrap_socket(plain, server_hostname=host):
                    pass
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"no connection to {host}:{port} ({type(error).__name__})", at=at) from None


def _read(answer: httpx.Response, clock: Clock, deadline: float) -> str:
    found = b""
    for part in answer.iter_raw():
        found += part
        if len(found) >= LONGEST_ANSWER:
            break
        if clock.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer did not end in time")
    return found[:LONGEST_ANSWER].decode("utf-8", "replace")


def _network_error(error: httpx.HTTPError, host: str) -> DeliveryError:
    text = str(error).lower()
    for word, hint in _FINAL_MESSAGES.items():
        if word in text:
            return DeliveryError(f"{host} cannot be used ({word})", hint=hint, retryable=False)
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return DeliveryError(f"no connection to {host} ({type(error).__name__})")
    return DeliveryError(f"{host} gave no complete answer ({type(error).__name__})", unknown=True)


def retry_after(answer: Answer, clock: Clock) -> float | None:
    """Seconds the receiver asked to wait: a number, or a date; None when it said nothing that can be read."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - clock.now()).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT_S) if seconds == seconds else None  # noqa: PLR0124 - "nan" is a float


def public_address(host: str, port: int | None, *, resolve: Callable[..., list[Any]] = socket.getaddrinfo) -> str:
    """An address of the host that lies in the public internet.

    Args:
        host: its name or number.
        port: None for that of https.
        resolve: looks the name up, as `socket.getaddrinfo` does.

    Raises:
        DeliveryError: one of its addresses is private, loopback, link-local or reserved (final), or it has none now.
    """
    try:
        found = resolve(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DeliveryError(f"the name {host} cannot be resolved") from None
    addresses = [str(info[4][0]) for info in found]
    for address in addresses:
        if not _is_public(address):
            # Every address counts: a name that answers with both kinds is how a private one is smuggled in.
            raise DeliveryError(
                f"{host} leads into the private network",
                hint="set allow_private: true when that is meant",
                retryable=False,
            )
    return addresses[0]


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052: the last 32 bits are an IPv4 address


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    inner: ipaddress.IPv4Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    checked = [address] if inner is None else [inner]
    return all(part.is_global and not part.is_multicast and not part.is_reserved for part in checked)
