"""Domain dataclasses to JSON and back, without pickle and without a second declaration of their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache, partial
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
    return cast("_Value", _builder(cast("Any", of))(msgspec.json.decode(text)))


# Hints are looked at once a class, not once a value: alerts are read at every look at the clock.
_Convert = Callable[[Any], Any]


@cache
def _builder(of: Any) -> _Convert:  # noqa: ANN401 - classes are hashable, mypy doubts it
    """Makes a dataclass from decoded JSON."""
    hints = get_type_hints(of, localns=_NAMES)
    converters = {field.name: _converter(hints[field.name]) for field in fields(of) if field.init}

    def build(plain: Any) -> Any:  # noqa: ANN401 - decoded JSON
        given = {}
        for name, value in plain.items():
            if name in converters:
                convert = converters[name]
                given[name] = value if convert is None or value is None else convert(value)
        return of(**given)

    return build


def _converter(hint: Any) -> _Convert | None:  # noqa: ANN401 - whatever a field may be declared as
    """From decoded JSON to the hint; None where JSON gives it as it is."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        members = [arg for arg in arguments if arg is not type(None)]
        # Unions of the domain are optional values, or scalars that JSON already tells apart.
        return _converter(members[0]) if len(members) == 1 else None
    if origin in {tuple, list}:
        return _of_items(origin, _converter(arguments[0]))
    if origin is not None:
        return _of_values(_converter(arguments[1])) if issubclass(origin, Mapping) else None
    return _builder(cast("Any", hint)) if is_dataclass(hint) else _scalar(hint)


def _scalar(hint: Any) -> _Convert | None:  # noqa: ANN401 - whatever a field may be declared as
    if hint is datetime:
        return datetime.fromisoformat
    if hint is timedelta:
        return partial(msgspec.convert, type=timedelta)
    return hint if isinstance(hint, type) and issubclass(hint, Enum | float) else None


def _of_items(kind: _Convert, convert: _Convert | None) -> _Convert:
    return kind if convert is None else lambda plain: kind(convert(item) for item in plain)


def _of_values(convert: _Convert | None) -> _Convert | None:
    if convert is None:
        return None
    return lambda plain: {key: convert(value) for key, value in plain.items()}
