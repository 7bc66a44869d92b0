"""Domain dataclasses to JSON and back, without pickle and without a second declaration of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
from tiltmeter.domain.message import Content, Message, Receipt, Row
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.rule import Escalation, EscalationStep
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

_Value = TypeVar("_Value")

# The domain imports the names in its annotations only for type checkers; this is where they become real.
_NAMES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        Alert, AlertEvent, Content, Escalation, EscalationStep, Grain, Incident, Mapping, Message, Metric, Receipt,
        Row, Severity, Silence, Status, Subject, Window, datetime, timedelta,
    )
}  # fmt: skip


def encode(value: object) -> str:
    """JSON of a domain dataclass; times as ISO 8601, enumerations as their values."""
    return msgspec.json.encode(value).decode()


def decode(text: str, of: type[_Value]) -> _Value:
    """The dataclass that `encode` was given; fields that did not exist yet when it was written get their defaults."""
    return _build(of, msgspec.json.decode(text))


def _build(of: type[_Value], plain: Any) -> _Value:  # noqa: ANN401 - decoded JSON
    given = {name: _value(hint, plain[name]) for name, hint in _hints(cast(Any, of)) if name in plain}
    return of(**given)


@cache
def _hints(of: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401 - classes are hashable, mypy doubts it
    hints = get_type_hints(of, localns=_NAMES)
    return tuple((f.name, hints[f.name]) for f in fields(of) if f.init)


def _value(hint: Any, plain: Any) -> Any:  # noqa: ANN401 - decoded JSON
    if plain is None:
        return None
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return _union(hint, plain)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in plain)
    if origin is list:
        return [_value(get_args(hint)[0], item) for item in plain]
    if origin is not None and issubclass(origin, Mapping):
        return {key: _value(get_args(hint)[1], item) for key, item in plain.items()}
    return _plain(hint, plain)


def _union(hint: Any, plain: Any) -> Any:  # noqa: ANN401 - decoded JSON
    members = [arg for arg in get_args(hint) if arg is not type(None)]
    # Unions of the domain are optional values, or scalars that JSON already tells apart.
    return _value(members[0], plain) if len(members) == 1 else plain


def _plain(hint: Any, plain: Any) -> Any:  # noqa: ANN401 - decoded JSON
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, plain)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(plain)
    if hint in {datetime, timedelta}:
        return msgspec.convert(plain, hint)
    if hint is float:
        return float(plain)
    return plain
