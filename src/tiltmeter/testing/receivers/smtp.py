"""A mail server in a thread: STARTTLS, login, answers per recipient, and the ways a server fails in mid-mail."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from tiltmeter.domain.errors import ConfigError
from tiltmeter.testing.receivers.inbox import Inbox

MOST_SESSIONS = 200
"""Connections remembered for the end; more are never open at once."""


@dataclass(frozen=True, slots=True)
class SmtpFault:
    """How the next matching command is mistreated.

    Args:
        command: `RCPT` or `DATA` (after the whole mail was read).
        answer: line to answer instead of success, such as `451 4.3.0 try later`; empty for none.
        recipient: with RCPT, only this address.
        accept: with DATA, keep the mail before misbehaving.
        drop: close the connection without an answer.
        hang_s: wait so long before answering.
        times: how many commands; None means all of them.
    """

    command: str
    answer: str = ""
    recipient: str = ""
    accept: bool = False
    drop: bool = False
    hang_s: float = 0.0
    times: int | None = 1


class SmtpReceiver:
    """Accepts mail for everybody; use it in a `with` statement.

    Args:
        folder: inbox folder, None for memory only.
        port: 0 lets the system choose.
        login: user and password that are asked for.
        tls: certificate to offer STARTTLS with.
        tls_only: refuse mail before STARTTLS.

    Raises:
        ConfigError: aiosmtpd is not installed.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int = 0,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        tls_only: bool = False,
    ) -> None:
        self.inbox = Inbox(folder)
        self.mails: list[EmailMessage] = []
        self.recipients: list[tuple[str, ...]] = []
        self._transports: list[Any] = []
        build = _server_factory(self, login=login, tls=tls, tls_only=tls_only)
        self._factory = lambda: self._remembered(build())
        self._port = port
        self._faults: list[list[Any]] = []
        self._lock = Lock()
        self._started = Event()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._port

    @property
    def url(self) -> str:
        """For the channel's `url`."""
        return f"smtp://127.0.0.1:{self._port}"

    def script(self, *faults: SmtpFault) -> None:
        """Mistreat the next commands, in this order."""
        with self._lock:
            self._faults += [[fault, fault.times] for fault in faults]

    def heal(self) -> None:
        """Forget all faults that are still to come."""
        with self._lock:
            self._faults.clear()

    def start(self) -> Self:
        """Serve."""
        self._thread.start()
        if not self._started.wait(10):
            raise ConfigError("the local mail server did not start within 10 s")
        return self

    def stop(self) -> None:
        """End the server and every open connection."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def fault(self, command: str, recipient: str = "") -> SmtpFault | None:
        """The fault that is due for this command, used up."""
        with self._lock:
            for entry in self._faults:
                fault, left = entry
                if fault.command == command and fault.recipient in {"", recipient}:
                    if left is not None:
                        entry[1] = left - 1
                        if left <= 1:
                            self._faults.remove(entry)
                    found: SmtpFault = fault
                    return found
        return None

    def keep(self, content: bytes, recipients: Sequence[str]) -> None:
        """Take a mail in."""
        mail = message_from_bytes(content, policy=policy.default)
        self.mails.append(mail)
        self.recipients.append(tuple(recipients))
        plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
        record = {
            "headers": {name: str(value) for name, value in mail.items()},
            "recipients": list(recipients),
            "plain": plain.get_content() if plain else "",
            "html": html.get_content() if html else "",
        }
        head = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(mail[name]))}</td></tr>"
            for name in ("From", "To", "Date", "Subject")
        )
        framed = (
            f'<iframe sandbox srcdoc="{escape(str(record["html"]))}" style="border:0;width:100%;height:900px"></iframe>'
        )
        number = f"{len(self.mails):04d}-{str(mail['Message-ID']).strip('<>')}"
        self.inbox.keep(number, record, title=str(mail["Subject"]), body=f"<table>{head}</table><hr>{framed}")

    def _remembered(self, session: Any) -> Any:  # noqa: ANN401 - an aiosmtpd session
        """The session, whose transports are ended at the end.

        After STARTTLS it forgets the plain transport below, which closes only when what is left was sent.
        """
        made = session.connection_made

        def connection_made(transport: Any) -> None:  # noqa: ANN401 - plain, or of TLS
            self._transports = [*self._transports[-2 * MOST_SESSIONS :], transport]
            made(transport)

        session.connection_made = connection_made
        return session

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(self._loop.create_server(self._factory, "127.0.0.1", self._port))
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        # No more are accepted; those that just were get their transport before the server closes, or never close.
        self._loop.remove_reader(server.sockets[0].fileno())
        self._loop.run_until_complete(asyncio.sleep(0.01))
        server.close()
        for transport in self._transports:
            transport.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))  # lets cut connections and cancelled tasks end
        for transport in self._transports:  # those that were made or begun to close meanwhile
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def _server_factory(
    receiver: SmtpReceiver, *, login: tuple[str, str] | None, tls: ssl.SSLContext | None, tls_only: bool
) -> Callable[[], Any]:
    try:
        from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
    except ModuleNotFoundError:
        raise ConfigError("the local mail server needs aiosmtpd", hint='pip install "tiltmeter[demo]"') from None

    class Handler:
        async def handle_RCPT(  # noqa: N802 - the name aiosmtpd calls
            self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
        ) -> str:
            fault = receiver.fault("RCPT", address)
            if fault is not None and fault.answer:
                return fault.answer
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
            return "250 OK"

        async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
            self, server: SMTP, _session: Session, envelope: Envelope
        ) -> str:
            fault = receiver.fault("DATA")
            if fault is None or fault.accept:
                receiver.keep(envelope.original_content or b"", envelope.rcpt_tos)
            if fault is not None and fault.hang_s:
                await asyncio.sleep(fault.hang_s)
            if fault is not None and fault.drop and isinstance(server.transport, asyncio.Transport):
                server.transport.abort()
            return fault.answer if fault is not None and fault.answer else "250 Message accepted"

    def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's signature
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else ("", "")
        return AuthResult(success=given == login, handled=False)

    def build() -> SMTP:
        return SMTP(
            Handler(),
            tls_context=tls,
            require_starttls=tls_only,
            # aiosmtpd warns of a login that is required in clear text; there it is offered, and a wrong one refused.
            auth_required=login is not None and tls is not None,
            auth_require_tls=tls is not None,
            authenticator=authenticate if login else None,
            enable_SMTPUTF8=True,
        )

    return build
