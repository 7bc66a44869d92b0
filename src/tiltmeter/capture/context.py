"""`tiltmeter.log(...)`: what the body does not show, said inside the handler, kept with the request's record."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from tiltmeter.capture.record import LoggedFields
from tiltmeter.capture.report import report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.capture.counters import Counters

MOST_LOGGED = 10_000
"""Calls of one request that are kept: a list body has one a lead."""


class Note(Protocol):
    """What was logged during one request. `open` ends with the record."""

    open: bool
    said: list[LoggedFields] | None

    @property
    def counters(self) -> Counters:
        """Of the writer that gets the record."""
        ...


current_note: ContextVar[Note | None] = ContextVar("tiltmeter_request", default=None)
"""The request that is being answered; threads of sync endpoints see it too, because they run in its context."""

_counted_by: list[weakref.ref[Counters]] = []


def count_here(counters: Counters) -> None:
    """Calls outside of a request are counted by the capture that was set up last."""
    _counted_by[:] = [weakref.ref(counters)]


def log(
    features: Mapping[str, Any] | None = None,
    prediction: float | None = None,
    entity_id: str | int | None = None,
    *,
    prediction_label: str | None = None,
    threshold: float | None = None,
    predict_duration_ms: float | None = None,
    model_version: str | None = None,
    record_index: int | None = None,
) -> None:
    """Add to the record of the request that is being answered. Wins over the body, key by key. Never raises.

    Outside of a request it does nothing and counts.

    Args:
        features: feature -> number, boolean, text or None, such as values looked up in a feature store.
        prediction: the model's score.
        entity_id: id of the lead.
        prediction_label: the model's word.
        threshold: score from which the lead counts as a predicted customer.
        predict_duration_ms: time the model itself took.
        model_version: where the handler knows better than `Capture`.
        record_index: position of the lead in a list body, from 0; None speaks about every row of the request.
    """
    note = current_note.get()
    if note is None or not note.open:
        _count_outside()
        return
    try:
        said = LoggedFields(
            features={_text(name): _scalar(value) for name, value in features.items()} if features else {},
            prediction=None if prediction is None else float(prediction),
            entity_id=None if entity_id is None else _text(entity_id),
            record_index=None if record_index is None else int(record_index),
            prediction_label=None if prediction_label is None else _text(prediction_label),
            threshold=None if threshold is None else float(threshold),
            predict_duration_ms=None if predict_duration_ms is None else float(predict_duration_ms),
            model_version=None if model_version is None else _text(model_version),
        )
    except Exception as error:  # noqa: BLE001 - capture boundary: a handler must not fail because of what it logs
        note.counters.add("capture_errors")
        report("log_refused", "tiltmeter.log got a value it cannot keep", error=error)
        return
    if note.said is None:
        note.said = [said]
    elif len(note.said) < MOST_LOGGED:
        note.said.append(said)
    else:
        note.counters.add("capture_errors")


def _count_outside() -> None:
    counters = _counted_by[0]() if _counted_by else None
    if counters is not None:
        counters.add("logs_outside_requests")
    report("log_ignored", "tiltmeter.log was called outside of a request")


def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _scalar(value: Any) -> Any:  # noqa: ANN401 - whatever a feature store returns
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()  # a NumPy scalar
    kind = type(value)
    if kind is float or kind is bool or value is None:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else _text(value)
    if isinstance(value, list | tuple | dict):
        return []  # counted by the mapping, like a list in a body
    return float(value) if isinstance(value, Decimal) else _text(value)
