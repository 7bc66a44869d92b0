"""What a person changes from a page: asked of the running service, which alone writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tiltmeter.domain.errors import ConfigError
from tiltmeter.views.dashboard.access import LOOPBACK, Right

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration
    from tiltmeter.views.dashboard.access import Visitor

_NOBODY = "dashboard"
"""Who it was where nobody said a name."""

_PORTS = "run/ports.json"
_SECONDS = 10.0
_MOST_CHARACTERS = 200
"""Of an answer that is shown; the rest is left unread."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    is_done: bool
    words: str


def service_address(configuration: Configuration) -> str:
    """Address of the running service as it wrote it down; empty where none was started."""
    try:
        found = json.loads((configuration.home / _PORTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    address = found.get("serve", "") if isinstance(found, dict) else ""
    return str(address) if str(address).startswith(("http://", "https://")) else ""


def acknowledge(configuration: Configuration, visitor: Visitor, incident: str, *, by: str, note: str) -> Answer:
    """Take care of an incident: escalation and reminders stop."""
    body: dict[str, object] = {"by": by or visitor.name or _NOBODY, "note": note}
    return _post(configuration, visitor, f"/api/v1/incidents/{incident}/ack", body, "Acknowledged.")


def silence(
    configuration: Configuration, visitor: Visitor, incident: str, *, minutes: int, by: str, reason: str
) -> Answer:
    """Keep quiet about an incident for a while."""
    who = by or visitor.name or _NOBODY
    body = {"matchers": {"incident": incident}, "minutes": minutes, "by": who, "reason": reason}
    return _post(configuration, visitor, "/api/v1/silences", body, f"Silent for {minutes} minutes.")


def link_facts(configuration: Configuration, token: str) -> tuple[Answer, dict[str, Any]]:
    """What a signed link is about, as the service reads it; empty when the link opens nothing."""
    answer, found = _asked(configuration, "GET", "/api/v1/ack", params={"t": token})
    return answer, found


def acknowledge_by_link(configuration: Configuration, token: str, *, by: str, note: str) -> Answer:
    """Take care of the incident of a signed link; the link stands for a key."""
    answer, _ = _asked(configuration, "POST", "/api/v1/ack", json={"token": token, "by": by, "note": note})
    return answer


def _asked(configuration: Configuration, method: str, path: str, **sent: Any) -> tuple[Answer, dict[str, Any]]:  # noqa: ANN401 - keywords of httpx
    address = service_address(configuration)
    if not address:
        return Answer(is_done=False, words="No service runs on this home: start `tiltmeter serve`."), {}
    try:
        response = httpx.request(method, address + path, timeout=_SECONDS, trust_env=False, **sent)
        found = response.json()
    except (httpx.HTTPError, ValueError) as error:
        return Answer(is_done=False, words=f"The service at {address} does not answer ({type(error).__name__})."), {}
    if response.is_success:
        return Answer(is_done=True, words="Acknowledged."), found
    detail = found.get("detail") if isinstance(found, dict) else ""
    return Answer(is_done=False, words=detail if isinstance(detail, str) else "This link opens nothing."), {}


def _post(configuration: Configuration, visitor: Visitor, path: str, body: dict[str, object], done: str) -> Answer:
    if visitor.right is not Right.OPERATE:
        return Answer(is_done=False, words="You may look here, not act.")
    address = service_address(configuration)
    if not address:
        return Answer(is_done=False, words="No service runs on this home: start `tiltmeter serve`.")
    try:
        with httpx.stream(
            "POST", address + path, json=body, headers=_credentials(configuration, visitor, address),
            timeout=_SECONDS, trust_env=False,
        ) as response:  # fmt: skip
            said = _first_words(response)
    except ConfigError as error:
        return Answer(is_done=False, words=f"The operate key cannot be read: {error.what}")
    except httpx.HTTPError as error:
        return Answer(is_done=False, words=f"The service at {address} does not answer ({type(error).__name__}).")
    if response.is_success:
        return Answer(is_done=True, words=done)
    return Answer(is_done=False, words=f"The service refused ({response.status_code}): {said}")


def _credentials(configuration: Configuration, visitor: Visitor, address: str) -> dict[bytes, bytes]:
    """Why the service believes the visitor: the word of the proxy that the dashboard heard, else the operate key.

    The header holds what came with the visitor's own request and nothing that was typed into a page; it goes to the
    installation's own service alone.
    """
    server = configuration.settings.server
    if visitor.vouched and server.trusted_header and _is_own(address, server.host):
        return {server.trusted_header.encode(): _as_it_came(visitor.vouched)}
    if server.keys.operate is not None:
        return {b"Authorization": f"Bearer {server.keys.operate.value(configuration.home)}".encode()}
    return {}


def _as_it_came(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _is_own(address: str, configured: str) -> bool:
    """Whether an address leads to this machine, or to where the service was told to listen."""
    host = httpx.URL(address).host
    return host in (*LOOPBACK, "0.0.0.0", "::", configured)  # noqa: S104 - asked, not listened on


def _first_words(response: httpx.Response) -> str:
    """The beginning of an answer; whatever listens there, no more than that is read."""
    for chunk in response.iter_text(_MOST_CHARACTERS):
        return chunk[:_MOST_CHARACTERS]
    return ""
