"""Who may see and who may act: the same keys and the same trusted header as the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hmac import compare_digest
from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.config.load import Configuration

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Right(IntEnum):
    """What a visitor may do."""

    NONE = 0
    READ = 1
    OPERATE = 2


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Args:
        right: what the visitor may do.
        vouched: value of the trusted header as it came; empty for those who came without it.
    """

    right: Right
    vouched: str = ""

    @property
    def name(self) -> str:
        """What the reverse proxy calls the person; empty where nobody vouches for one."""
        try:
            # Servers read header bytes as Latin-1; those of a proxy that knows people by name are UTF-8.
            return self.vouched.encode("latin-1").decode()[:100]
        except UnicodeError:
            return self.vouched[:100]


def visitor_of(configuration: Configuration, *, address: str, headers: Mapping[str, str], given: str) -> Visitor:
    """Who a visitor is, and what the visitor may do.

    Without keys and without a trusted header everybody may do everything, on a loopback address only.

    Args:
        configuration: of the installation.
        address: that the dashboard listens on; empty for every address of the machine.
        headers: of the visitor's request.
        given: key that the visitor entered, empty without one.

    Raises:
        ConfigError: a key of the configuration cannot be read.
    """
    server = configuration.settings.server
    trusted = server.trusted_header
    if not _has_keys(configuration) and trusted is None:
        return Visitor(Right.OPERATE if address in LOOPBACK else Right.NONE)
    if trusted and (vouched := _only_value(headers, trusted)):
        return Visitor(Right.OPERATE, vouched)
    found = Right.NONE
    for role, right in (("read", Right.READ), ("operate", Right.OPERATE)):
        reference = getattr(server.keys, role)
        if reference is None:
            continue
        # Every key is compared, in constant time: neither its length nor its role leaks.
        key = reference.value(configuration.home)
        if given and compare_digest(given.encode(), key.encode()):
            found = right
    return Visitor(found)


def _only_value(headers: Mapping[str, str], name: str) -> str:
    """The one value of a header; empty where it came twice: one of them may be the visitor's own."""
    every = headers.get_all(name) if hasattr(headers, "get_all") else [headers.get(name, "")]
    return str(every[0]) if len(every) == 1 else ""


def admitted(configuration: Configuration) -> Visitor:
    """Let the visitor in, ask for a key, or refuse openly; a page goes on only with at least READ."""
    address = str(st.get_option("server.address") or "")
    given = str(st.session_state.get("access-key", ""))
    try:
        # Not as a plain mapping: names of headers may come in any case.
        visitor = visitor_of(configuration, address=address, headers=st.context.headers, given=given)
    except ConfigError as error:
        st.error(f"The keys of the configuration cannot be read: {error.what}")
        st.stop()
    if visitor.right is not Right.NONE:
        return visitor
    if not _has_keys(configuration):
        st.error(refusal(configuration, address))
        st.stop()
    st.subheader("Tiltmeter", anchor=False)
    if given:
        st.error("That key opens nothing here.")
    st.caption("Who is there? A read key lets you look, an operate key acknowledge and silence as well.")
    st.text_input("Key", type="password", key="entered-key", on_change=_keep_key, width=420)
    st.stop()
    return visitor


def refusal(configuration: Configuration, address: str) -> str:
    """Why nobody without a key is let in, and what to do about it.

    Args:
        configuration: of the installation.
        address: that the dashboard listens on; empty for every address of the machine.
    """
    if configuration.settings.server.trusted_header is not None:
        return (
            "Your request came without the header that server.trusted_header names. Open the dashboard through the "
            "reverse proxy that signs people in, or set server.keys for those who come without it."
        )
    return (
        f"This dashboard listens on {address or 'every address'} and nothing protects it. Set server.keys or "
        "server.trusted_header in the configuration, or start it on 127.0.0.1."
    )


def _has_keys(configuration: Configuration) -> bool:
    keys = configuration.settings.server.keys
    return any((keys.read, keys.outcomes, keys.operate))


def _keep_key() -> None:
    # Widgets forget their value when the page changes; the session keeps it, in memory only.
    st.session_state["access-key"] = st.session_state["entered-key"]
