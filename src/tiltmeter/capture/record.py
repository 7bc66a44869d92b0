"""What one frame of the spool holds: a request with what was answered, or an outcome. Encoded as MessagePack.

Records are arrays behind a tag that carries the version (`request/1`). A later release adds fields at the end, with
defaults: an older reader skips what it does not know, a newer one fills in what is missing. A change that an older
reader would misunderstand takes a new tag, which the older reader refuses by name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from tiltmeter.domain.errors import UnreadableData

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LoggedFields(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the handler said by `tiltmeter.log(...)`; wins over the mapping, key by key.

    Args:
        features: feature -> scalar; only the keys that were given.
        prediction: the model's number.
        entity_id: id of the lead.
        record_index: the item of a list body it speaks about, None for the whole request.
        prediction_label: the model's word.
        threshold: score from which the lead counts as a predicted customer.
        predict_duration_ms: time the model itself took.
        model_version: when the handler knows better than `Capture`.
    """

    features: dict[str, Any]
    prediction: float | None = None
    entity_id: str | None = None
    record_index: int | None = None
    prediction_label: str | None = None
    threshold: float | None = None
    predict_duration_ms: float | None = None
    model_version: str | None = None


class RequestRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="request/1"):
    """One answered HTTP request.

    Args:
        time_us: wall clock when the request arrived, microseconds since 1970 UTC.
        model: model name.
        model_version: empty when unknown.
        method: "POST".
        route: path template "/score", never the raw path; "(unmatched)" when no route matched.
        status: status code of the answer; 500 for an exception nobody handled.
        duration_us: arrival to last byte handed to the server, by a clock that never jumps.
        request_id: what the answer's `x-request-id` says.
        client_request_id: `x-request-id` or `client_request_id` of the request.
        trace_id: 32 hex digits of `traceparent`.
        span_id: 16 hex digits of `traceparent`.
        requester: who asked, when the application says so.
        error_type: class of the exception behind a 4xx or 5xx answer.
        sampling: fraction of the requests of this kind that are recorded, in (0, 1].
        request: body as it came, or its JSON without the fields that privacy removes; empty when it passed the cap
            and privacy fields are set.
        response: likewise.
        request_bytes: full size of the body.
        response_bytes: full size of the answer.
        response_encoding: `content-encoding` of the answer, empty for none.
        reduced: whether privacy fields were dropped, hashed or cut before this record was written.
        logged: what the handler logged.
    """

    time_us: int
    model: str
    model_version: str
    method: str
    route: str
    status: int
    duration_us: int
    request_id: str
    client_request_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    requester: str | None = None
    error_type: str | None = None
    sampling: float = 1.0
    request: bytes = b""
    response: bytes = b""
    request_bytes: int = 0
    response_bytes: int = 0
    response_encoding: str = ""
    reduced: bool = False
    logged: list[LoggedFields] | None = None


class OutcomeRecord(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="outcome/1"):
    """One outcome of a lead.

    Args:
        outcome_id: key; the newest record of a key wins.
        entity_id: id of the lead.
        time_us: when it happened, microseconds since 1970 UTC.
        recorded_us: when it was told to us.
        model: None counts for every model that scored the lead.
        converted: None when only revenue or a label is told.
        revenue: in `currency`.
        currency: ISO 4217 code; None takes the configured one.
        label: any further word, such as a reason.
        kind: what the key was made of, for the shipper to make it anew where privacy rules change the lead's id; None
            where the source gave the key, and in records of earlier releases.
    """

    outcome_id: str
    entity_id: str
    time_us: int
    recorded_us: int
    model: str | None = None
    converted: bool | None = None
    revenue: float | None = None
    currency: str | None = None
    label: str | None = None
    kind: str | None = None


Record: TypeAlias = RequestRecord | OutcomeRecord

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)

encode_record = _encoder.encode
"""Bytes of one record."""


def decode_record(payload: bytes) -> Record:
    """One record from the bytes of a frame.

    Raises:
        UnreadableData: the bytes are no record, or one of a newer release.
    """
    try:
        record: Record = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableData(
            f"a spool record cannot be read ({error})",
            hint="a newer tiltmeter may have written it: upgrade the shipper before the API hosts",
        ) from error
    return record


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware time, exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(time_us: int) -> datetime:
    """Aware UTC time from microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=time_us)
