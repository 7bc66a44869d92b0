"""Mail over SMTP: a thread per incident, one Message-ID for every try, refused recipients retried or reported alone."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from contextlib import asynccontextmanager
from email.utils import parseaddr
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import ConfigDict, Field, SecretStr, field_validator

from tiltmeter.channels.email_body import build_mail
from tiltmeter.channels.redaction import redact
from tiltmeter.channels.settings import ChannelPart, is_reference
from tiltmeter.domain.errors import DeliveryError
from tiltmeter.domain.message import MessageKind, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from email.message import EmailMessage
    from urllib.parse import SplitResult

    from tiltmeter.domain.message import Message
    from tiltmeter.ports import Clock

_PORTS = {"smtp": 587, "smtps": 465}
_MISSING_TLS = {523, 530, 538}
_NEEDS_ROOT = {MessageKind.RESOLVED, MessageKind.ACKNOWLEDGED}


class SmtpSettings(ChannelPart):
    """`{kind: smtp, to: [ml-team@example.com], from: tiltmeter@example.com, url: "env:SMTP_URL"}`.

    The address is `smtp://user:password@host:587` (STARTTLS) or `smtps://user:password@host:465`; special characters in
    the password are percent-encoded. `tls: auto` asks for encryption on every host but the own one.
    """

    model_config = ConfigDict(populate_by_name=True)
    clear_text: ClassVar[frozenset[str]] = frozenset({"url"})

    to: tuple[str, ...] = Field(min_length=1)
    sender: str = Field(alias="from")
    url: SecretStr
    tls: Literal["auto", "required", "none"] = "auto"
    ca_file: str | None = None

    @field_validator("url")
    @classmethod
    def _address(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if not is_reference(text):
            parts = urlsplit(text)
            if parts.scheme not in _PORTS or not parts.hostname:
                raise ValueError("write smtp://user:password@host:587 or smtps://user:password@host:465")
        return url

    @field_validator("to", "sender")
    @classmethod
    def _one_line(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        addresses = (value,) if isinstance(value, str) else value
        for address in addresses:
            if "@" not in address or any(c in address for c in "\r\n,;"):
                raise ValueError("an address must look like name@example.com")
        return value


class EmailChannel:
    """Sends one mail to all recipients."""

    kind = "smtp"
    settings_model = SmtpSettings

    def __init__(self, name: str, settings: SmtpSettings, *, clock: Clock) -> None:
        del clock
        self.name = name
        self.fallback = settings.fallback
        self._settings = settings
        self._server: SplitResult = urlsplit(settings.url.get_secret_value())
        self._secrets = [settings.url.get_secret_value(), unquote(self._server.password or "")]

    def send(self, message: Message) -> Receipt:
        """Deliver to every recipient that did not get this message before."""
        if message.kind in _NEEDS_ROOT and not message.thread.get("root"):
            return Receipt(dropped=True, note="nobody was mailed about this incident, so its end is not mailed either")
        recipients = _still_open(message, self._settings.to)
        domain = self._settings.sender.rpartition("@")[2].rstrip(">")
        mail, thread = build_mail(message, sender=self._settings.sender, to=self._settings.to, domain=domain)
        try:
            refused = asyncio.run(asyncio.wait_for(self._deliver(mail, recipients), self._settings.timeout_s))
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = {one.recipient: (one.code, one.message) for one in error.recipients}
        except TimeoutError:
            raise self._error("the mail server did not answer in time", unknown=True) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failed(error) from None  # the original may quote the password
        return self._receipt(message, thread, recipients, refused, reference=str(mail["Message-ID"]))

    def connect(self) -> None:
        """Prove that the server can be reached, encrypts and knows the login; sends nothing.

        Raises:
            DeliveryError: it cannot or does not.
        """

        async def greet() -> None:
            async with self._session():
                pass

        try:
            asyncio.run(asyncio.wait_for(greet(), self._settings.timeout_s))
        except TimeoutError:
            raise self._error("the mail server did not answer in time") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failed(error) from None

    async def _deliver(self, mail: EmailMessage, recipients: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        sender = parseaddr(self._settings.sender)[1]
        async with self._session() as client:
            refused, _ = await client.sendmail(sender, list(recipients), mail.as_bytes())
        return {address: (answer.code, answer.message) for address, answer in refused.items()}

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiosmtplib.SMTP]:
        client = self._client()
        try:
            async with client:
                try:
                    yield client
                except asyncio.CancelledError:
                    client.close()  # the time is up: no farewell to a server that does not answer
                    raise
        finally:
            client.close()
            await asyncio.sleep(0)  # the loop lets go of the socket in its next turn

    def _client(self) -> aiosmtplib.SMTP:
        secure = self._server.scheme == "smtps"
        host = self._server.hostname or ""
        optional = self._settings.tls == "none" or (self._settings.tls == "auto" and _is_loopback(host))
        ca_file = self._settings.ca_file
        # Opportunistic on the own machine, or where the site said so: encrypted if offered, not verified.
        context = _tls(str(ca_file) if ca_file else None, is_verified=not optional or bool(ca_file))
        return _Client(
            hostname=host,
            port=self._server.port or _PORTS[self._server.scheme],
            username=unquote(self._server.username) if self._server.username else None,
            password=unquote(self._server.password) if self._server.password else None,
            use_tls=secure,
            start_tls=False if secure else (None if optional else True),
            tls_context=context,
            timeout=self._settings.timeout_s,
        )

    def _receipt(
        self,
        message: Message,
        thread: dict[str, str],
        recipients: Sequence[str],
        refused: Mapping[str, tuple[int, str]],
        *,
        reference: str,
    ) -> Receipt:
        later = [address for address, (code, _) in refused.items() if 400 <= code < 500]
        final = [address for address in refused if address not in later]
        note = redact("; ".join(f"{a} refused: {code} {text}" for a, (code, text) in refused.items()), self._secrets)
        if len(final) == len(recipients):
            raise self._error(f"every recipient was refused ({note})", retryable=False)
        if later:
            arrived = len(later) < len(recipients)
            # Kept with the incident: the next try goes to those only who were asked to wait.
            rest = {**(thread if arrived else {}), "rest_of": message.delivery_id, "rest": ",".join(later)}
            raise self._error(f"some recipients later: {note}", receipt=Receipt(reference, rest, note))
        return Receipt(reference=reference, thread={**thread, "rest_of": "", "rest": ""}, note=note)

    def _failed(self, error: Exception) -> DeliveryError:
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            return self._error(
                f"the mail server refused the login ({error.code})",
                retryable=400 <= error.code < 500,
                hint="check user and password in the SMTP address",
            )
        if isinstance(error, aiosmtplib.SMTPResponseException):
            if error.code in _MISSING_TLS or "starttls" in error.message.lower():
                return self._no_tls()
            text = f"the mail server refused the mail ({error.code} {error.message})"
            return self._error(text, retryable=400 <= error.code < 500)
        return self._unanswered(error)

    def _unanswered(self, error: Exception) -> DeliveryError:
        name = type(error).__name__
        if isinstance(error, aiosmtplib.SMTPConnectError) or name == "SMTPConnectTimeoutError":
            if _certificate_failed(error):
                return self._error(
                    "the mail server's certificate is not trusted",
                    retryable=False,
                    hint="check the host name, or name the site's authority with ca_file",
                )
            return self._error(f"no connection to the mail server ({name})")
        if isinstance(error, ssl.SSLError) or _certificate_failed(error):
            return self._error("the mail server's certificate is not trusted", retryable=False)
        if isinstance(error, aiosmtplib.SMTPNotSupported) or "starttls" in str(error).lower():
            return self._no_tls()
        return self._error(f"the mail server gave no answer ({name})", unknown=True)

    def _no_tls(self) -> DeliveryError:
        return self._error(
            "the mail server offers no encryption (STARTTLS), so nothing was sent",
            retryable=False,
            hint="use smtps://, or set tls: none if clear text is meant",
        )

    def _error(self, what: str, **more: Any) -> DeliveryError:  # noqa: ANN401 - keywords of DeliveryError
        return DeliveryError(redact(what, self._secrets), at=self.name, **more)


class _Client(aiosmtplib.SMTP):
    """Closes at once, also where `connect` gives up by itself: a refused login closes before anybody holds the client.

    An encrypted connection would otherwise wait for the server's farewell, longer than its loop lives.
    """

    def close(self) -> None:
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _still_open(message: Message, to: Sequence[str]) -> list[str]:
    if message.thread.get("rest_of") != message.delivery_id:
        return list(to)
    waiting = set(message.thread.get("rest", "").split(","))
    return [address for address in to if address in waiting] or list(to)


def _certificate_failed(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "certificate verify failed" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


@lru_cache(maxsize=8)
def _tls(ca_file: str | None, *, is_verified: bool) -> ssl.SSLContext:
    """One context for all mails: reading the trusted certificates takes longer than sending one."""
    if is_verified:
        return ssl.create_default_context(cafile=ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
