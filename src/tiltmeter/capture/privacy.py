"""Fields that are dropped, hashed or cut before a record reaches the disk.

A name without dots is found at any depth of request, answer and `tiltmeter.log`; a dotted path (`lead.contact.email`,
`leads.*.email`) only where it leads. A hash is keyed (HMAC): phone numbers are too few for a bare hash to hide them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tiltmeter.capture.mapping import read_json
from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiltmeter.capture.record import LoggedFields

HASH_KEY = "env:TILTMETER_HASH_KEY"
_ERROR_FROM = 400
_HASHED = re.compile(r"hmac:[0-9a-f]{32}")
_FIELD = re.compile(rb'\s*:\s*("[^"]*"|[^\s,}]+)\s*')
_encode = msgspec.json.Encoder().encode
_skip = msgspec.json.Decoder(msgspec.Raw).decode


class Privacy:
    """What to do with which field.

    Args:
        drop: names or paths that are never stored.
        hash: names or paths stored as `hmac:` and 32 hex digits. Equal values stay equal; a value that is hashed
            already stays as it is, so that the shipper may apply the same rules again.
        truncate: name or path -> characters that are kept.
        key: `env:NAME` or `file:PATH` of the key of the hash.

    Raises:
        ConfigError: something is to be hashed and there is no key.
    """

    def __init__(
        self,
        *,
        drop: Sequence[str] = (),
        hash: Sequence[str] = (),  # noqa: A002 - the word of the configuration
        truncate: Mapping[str, int] | None = None,
        key: str = HASH_KEY,
    ) -> None:
        secret = _secret(key) if hash else b""
        actions: dict[str, Callable[[Any], Any]] = {}
        for name, most in (truncate or {}).items():
            actions[name] = _cutter(most)
        for name in hash:
            actions[name] = _hasher(secret)
        for name in drop:
            actions[name] = _drop
        self._anywhere = {name: action for name, action in actions.items() if "." not in name}
        self._paths = [(name.split("."), action) for name, action in actions.items() if "." in name]
        self._any_key = re.compile(b"|".join(re.escape(_last_key(name)) for name in actions) or b"(?!)")

    def __bool__(self) -> bool:
        return bool(self._anywhere or self._paths)

    def body(self, data: bytes) -> bytes:
        """A JSON body without what must not be stored.

        Raises:
            ValueError: it is no JSON, so nobody knows what it holds: it must not be stored.
        """
        if self._is_open(data):
            if self._any_key.search(data) is None:
                return data
            if not self._paths and data.count(b"{") == 1 and b"[" not in data:
                return self._spliced(data)
        try:
            value = read_json(data)
            self._reduce(value, deep=data.count(b"{") > 1 or b"[" in data)
            return _encode(value)
        except (RecursionError, msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise ValueError("no JSON") from error

    def _is_open(self, data: bytes) -> bool:
        """Whether it is JSON in which a search sees every key and every end of a text.

        Only an escape or another encoding could hide one; such a body is taken apart.
        """
        if b"\\" in data or not data.isascii():
            return False
        try:
            _skip(data)
        except (RecursionError, msgspec.MsgspecError):
            return False
        return True

    def _spliced(self, data: bytes) -> bytes:
        """A flat object with the fields of the rules cut out or replaced where they stand; the rest as it came.

        Most bodies of scoring services are flat, and taking one apart costs several times what keeping it does.
        """
        for name, action in self._anywhere.items():
            key = f'"{name}"'.encode()
            start = data.find(key)
            while start >= 0:
                field = _FIELD.match(data, start + len(key))
                if field is None:  # it is a value
                    start = data.find(key, start + 1)
                elif action is _drop:
                    data = _without(data, start, field.end())
                    start = data.find(key, max(0, start - 1))
                else:
                    kept = _encode(action(read_json(field[1])))
                    data = data[: field.start(1)] + kept + data[field.end(1) :]
                    start = data.find(key, field.start(1) + len(kept))
        return data

    def json(self, value: Any) -> Any:  # noqa: ANN401 - JSON has any shape
        """A JSON value without what must not be stored; the given one is left as it is."""
        kept = _copied(value)
        self._reduce(kept, deep=True)
        return kept

    def _reduce(self, value: Any, *, deep: bool) -> None:  # noqa: ANN401 - JSON has any shape
        self._reduce_anywhere(value, deep)
        for parts, action in self._paths:
            _apply(value, parts, action)

    def drops(self, name: str) -> bool:
        """Whether a column of this name is left out."""
        return self.change(name) is _drop

    def change(self, name: str) -> Callable[[Any], Any] | None:
        """What becomes of each value of a column of this name; None when it stays as it is."""
        exact = (action for parts, action in self._paths if ".".join(parts) == name)
        return self._anywhere.get(name) or next(exact, None)

    def text(self, name: str, value: str | None) -> str | None:
        """What is stored of the text of one column."""
        action = self._anywhere.get(name)
        if action is None or value is None:
            return value
        kept: str | None = action(value)
        return kept

    def exchange(
        self, request: bytes, response: bytes, *, status: int, is_whole: bool, is_readable: bool
    ) -> tuple[bytes, bytes, int]:
        """Bodies of one request and its answer without what must not be stored.

        Args:
            request: as it came.
            response: likewise.
            status: of the answer; answers from 400 on quote the values they refuse and are never stored.
            is_whole: the request's body was not cut.
            is_readable: neither was the answer's, and it is not compressed.

        Returns:
            What may be stored of both, and the number of bodies of which nobody knows what they hold.
        """
        kept, unreadable = [], 0
        response = b"" if status >= _ERROR_FROM else response
        for body, is_known in ((request, is_whole), (response, is_readable)):
            try:
                kept.append(self.body(body) if body and is_known else b"")
                unreadable += bool(body) and not is_known
            except ValueError:
                kept.append(b"")
                unreadable += 1
        return kept[0], kept[1], unreadable

    def logged(self, said: LoggedFields) -> LoggedFields:
        """A logged record without what must not be stored."""
        features, entity_id = self.json(said.features), self.text("entity_id", said.entity_id)
        return msgspec.structs.replace(said, features=features, entity_id=entity_id)

    def _reduce_anywhere(self, value: Any, deep: bool) -> None:  # noqa: ANN401, FBT001 - JSON has any shape
        if isinstance(value, dict):
            for name, action in self._anywhere.items():  # a few names, while a body has dozens of keys
                if name in value:
                    if action is _drop:
                        del value[name]
                    else:
                        value[name] = action(value[name])
            inner: Iterable[Any] = value.values() if deep else ()
        else:
            inner = value if isinstance(value, list) else ()
        for item in inner:
            if type(item) is dict or type(item) is list:
                self._reduce_anywhere(item, deep)


def _last_key(name: str) -> bytes:
    """How the field of a rule ends in JSON: with the last name of its path and a quotation mark."""
    named = [part for part in name.split(".") if part != "*"]
    return f'{named[-1] if named else ""}"'.encode()


def _without(data: bytes, start: int, end: int) -> bytes:
    """A flat object without the field that stands there, and without one of the commas around it."""
    if data[end : end + 1] == b",":
        return data[:start] + data[end + 1 :]
    return data[:start].rstrip().removesuffix(b",") + data[end:]


def _copied(value: Any) -> Any:  # noqa: ANN401 - JSON has any shape
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _apply(value: Any, parts: Sequence[str], action: Callable[[Any], Any]) -> None:  # noqa: ANN401
    if isinstance(value, list):
        for item in value if parts[0] == "*" else ():
            _apply(item, parts[1:], action)
        return
    if not isinstance(value, dict) or not parts:
        return
    whole = ".".join(parts)
    if whole in value:
        if action is _drop:
            del value[whole]
        else:
            value[whole] = action(value[whole])
    elif parts[0] in value:
        _apply(value[parts[0]], parts[1:], action)


def _drop(value: object) -> None:
    """A mark: fields with this action are left out."""


def _hasher(key: bytes) -> Callable[[Any], Any]:
    def hashed(value: object) -> str | None:
        if value is None:
            return None
        text = value if isinstance(value, str) else _encode(value).decode()
        if _HASHED.fullmatch(text):
            return text
        return f"hmac:{hmac.new(key, text.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:32]}"

    return hashed


def _cutter(most: int) -> Callable[[Any], Any]:
    def cut(value: object) -> object:
        return value[:most] if isinstance(value, str) else value

    return cut


def _secret(reference: str) -> bytes:
    kind, _, place = reference.partition(":")
    if kind == "env":
        found = os.environ.get(place, "")
    elif kind == "file":
        try:
            found = Path(place).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"the hash key {place} cannot be read ({error.strerror})") from error
    else:
        raise ConfigError("the hash key stands in clear text", hint="write env:NAME or file:PATH instead")
    if not found:
        raise ConfigError(
            f"fields are to be hashed, and {place} is empty or not set",
            hint="set it to a long random text, the same on every host: openssl rand -hex 32",
        )
    return found.encode()
