"""From a recorded request to rows of the log: by configured paths, else by what lead-scoring bodies look like."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from tiltmeter.domain.model import RouteMapping
from tiltmeter.domain.prediction import LARGEST_EXACT_INTEGER, MappedRequest, entity_text, score_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiltmeter.capture.record import LoggedFields, RequestRecord

PREDICTION_NAMES = ("prediction", "score", "probability")
"""Keys that hold the prediction when no path is configured, the first that is a number."""

MOST_FEATURES = 1_000
DEEPEST_OBJECT = 32
"""Limits of one body: a client must not be able to grow the table's schema or our stack without end."""

LARGEST_DECODED = 16 * 1024 * 1024
_PLURALS = ("predictions", "scores", "probabilities")
_NUMBER_DIGITS = 4_000  # Python refuses to turn more than 4,300 digits into a number
_MISSING = object()
_PLAIN = {float, str, bool, type(None)}
_OK_BELOW = 400


def map_request(record: RequestRecord, *, event_id: str, route: RouteMapping | None = None) -> MappedRequest:
    """The rows of one recorded request.

    Args:
        record: as read from the spool.
        event_id: unique for ever; rows of a list body get `-<record_index>` behind it.
        route: configured paths of the record's route; None maps by the defaults of the reference page.

    Never raises on what a client or a handler sent.
    """
    counts: Counter[str] = Counter()
    mapping = route or RouteMapping(f"{record.method} {record.route}")
    answered = record.status < _OK_BELOW
    items: list[dict[str, Any] | None] = [None]
    indexed = False
    scores: list[float | None] = [None]
    keys: tuple[str, ...] = ()
    if answered and record.request:
        items, indexed = _items(_request_json(record, counts), mapping.features, counts)
    if answered and record.response:
        scores, keys = _scores(_response_json(record, counts), mapping.prediction, len(items), indexed, counts)
    scores += [None] * (len(items) - len(scores))
    rows = []
    for position, (item, score) in enumerate(zip(items, scores, strict=False)):
        row = _row(record, event_id, position if indexed else None)
        if item is not None:
            row["entity_id"] = entity_text(resolve(item, mapping.entity_id))
            _flatten(item, row, skip=mapping.entity_id, counts=counts)
        row["prediction"] = score
        rows.append(row)
    if record.logged:
        _overlay(rows, record, event_id, counts)
    without = sum(row["prediction"] is None for row in rows)
    if answered and without:
        counts["no_prediction"] += without
    return MappedRequest(rows, counts, unmapped=not answered or without > 0, response_keys=keys if without else ())


def read_json(data: bytes) -> Any:  # noqa: ANN401 - JSON has any shape
    """JSON as a service may have accepted it: NaN, Infinity, 1e400 and lone surrogates included.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON") from error


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _NUMBER_DIGITS else text


def resolve(value: Any, path: str) -> Any:  # noqa: ANN401 - JSON has any shape
    """What a dotted path finds: a value, a list where `*` stands for every item, or None.

    A key that itself contains dots is found when the rest of the path names it in full.
    """
    return _at(value, [part for part in path.split(".") if part and part != "$"])


def _at(value: Any, parts: Sequence[str]) -> Any:  # noqa: ANN401 - JSON has any shape
    if not parts:
        return value
    if parts[0] == "*":
        return [_at(item, parts[1:]) for item in value] if isinstance(value, list) else None
    if not isinstance(value, dict):
        return None
    whole = ".".join(parts)
    return value[whole] if whole in value else _at(value.get(parts[0]), parts[1:])


def _request_json(record: RequestRecord, counts: Counter[str]) -> Any:  # noqa: ANN401 - JSON has any shape
    if record.request_bytes > len(record.request) and not record.reduced:
        counts["request_truncated"] += 1
        return None
    return _parsed(record.request, "request_unreadable", counts)


def _response_json(record: RequestRecord, counts: Counter[str]) -> Any:  # noqa: ANN401 - JSON has any shape
    body = record.response
    if record.response_bytes > len(body) and not record.reduced:
        counts["response_truncated"] += 1
        return None
    if record.response_encoding:
        try:
            body = _decoded(body, record.response_encoding)
        except (ValueError, zlib.error):
            counts["response_unreadable"] += 1
            return None
    return _parsed(body, "response_unreadable", counts)


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "deflate"):
        raise ValueError(encoding)
    reader = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib head, whichever it is
    return reader.decompress(body, LARGEST_DECODED)


def _parsed(body: bytes, trouble: str, counts: Counter[str]) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return read_json(body)
    except ValueError:
        counts[trouble] += 1
        return None


def _items(body: Any, path: str, counts: Counter[str]) -> tuple[list[dict[str, Any] | None], bool]:  # noqa: ANN401
    found = resolve(body, path)
    if isinstance(found, dict):
        return [found], False
    if isinstance(found, list) and found:
        strange = sum(not isinstance(item, dict) for item in found)
        if strange:
            counts["items_ignored"] += strange
        return [item if isinstance(item, dict) else None for item in found], True
    if body is not None:
        counts["features_not_found"] += 1
    return [None], False


def _scores(
    body: Any,  # noqa: ANN401 - JSON has any shape
    path: str,
    wanted: int,
    indexed: bool,  # noqa: FBT001 - private; reads as the second half of `wanted`
    counts: Counter[str],
) -> tuple[list[float | None], tuple[str, ...]]:
    keys = tuple(sorted(body)[:20]) if isinstance(body, dict) else ()
    if path:
        found = resolve(body, path.removeprefix("response.").removeprefix("response"))
    else:
        found = _usual_list(body) if indexed else _usual_score(body)
    if not indexed:
        return [score_number(found)], keys
    if not isinstance(found, list):
        return [], keys
    if len(found) != wanted:
        counts["length_mismatch"] += 1
        return [], keys
    return [score_number(item) if not isinstance(item, dict) else _usual_score(item) for item in found], keys


def _usual_score(body: Any) -> float | None:  # noqa: ANN401 - JSON has any shape
    if not isinstance(body, dict):
        return None
    return next((score for name in PREDICTION_NAMES if (score := score_number(body.get(name))) is not None), None)


def _usual_list(body: Any) -> Any:  # noqa: ANN401 - JSON has any shape
    if not isinstance(body, dict):
        return body
    return next((body[name] for name in PREDICTION_NAMES + _PLURALS if isinstance(body.get(name), list)), None)


def _row(record: RequestRecord, event_id: str, index: int | None) -> dict[str, Any]:
    return {
        "event_id": event_id if index is None else f"{event_id}-{index}",
        "request_id": record.request_id,
        "client_request_id": record.client_request_id,
        "request_time": record.time_us,
        "source": "api",
        "model_name": record.model,
        "model_version": record.model_version,
        "entity_id": None,
        "prediction": None,
        "prediction_label": None,
        "threshold": None,
        "status_code": record.status,
        "execution_duration_ms": record.duration_us / 1000.0,
        "predict_duration_ms": None,
        "http_route": record.route,
        "http_method": record.method,
        "error_type": record.error_type,
        "requester": record.requester,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "sampling_fraction": record.sampling,
        "record_index": index,
        "features": {},
        "rescued": {},
    }


def _flatten(item: dict[str, Any], row: dict[str, Any], *, skip: str, counts: Counter[str]) -> None:
    features, rescued = row["features"], row["rescued"]
    if _take_plain(item, features, skip):
        return
    stack: list[tuple[str, dict[str, Any], int]] = [("", item, 1)]
    while stack:
        prefix, values, depth = stack.pop()
        for key, value in values.items():
            name = f"{prefix}{key}"
            kind = type(value)
            if name == skip:
                continue
            if len(features) >= MOST_FEATURES:
                counts["features_ignored"] += 1
            elif kind is dict and depth < DEEPEST_OBJECT:
                stack.append((f"{name}.", value, depth + 1))
            elif kind is dict or kind is list:
                counts["lists_ignored" if kind is list else "features_ignored"] += 1
            else:
                _put(features, rescued, name, value)


def _take_plain(item: dict[str, Any], features: dict[str, Any], skip: str) -> bool:
    """Most bodies are one level of ASCII names with numbers and words: those are taken at once, three times faster."""
    kinds = set(map(type, item.values()))
    if len(item) > MOST_FEATURES or not kinds <= _PLAIN or not "".join(item).isascii():
        return False
    if not "".join([value for value in item.values() if type(value) is str]).isascii():
        return False
    features.update(item)
    features.pop(skip, None)
    return True


def _put(features: dict[str, Any], rescued: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401
    kind = type(value)
    if kind is int:
        if -LARGEST_EXACT_INTEGER <= value <= LARGEST_EXACT_INTEGER:
            features[name] = float(value)
        else:
            features[name] = None
            rescued[name] = str(value)
    elif kind is str and not value.isascii():
        features[_clean(name)] = _clean(value)
    elif name.isascii():
        features[name] = value
    else:
        features[_clean(name)] = value


def _clean(text: str) -> str:
    """Text that every file format takes: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


_COLUMNS: tuple[tuple[str, Callable[[LoggedFields], Any]], ...] = (
    ("prediction", lambda said: score_number(said.prediction)),
    ("entity_id", lambda said: said.entity_id),
    ("prediction_label", lambda said: said.prediction_label),
    ("threshold", lambda said: said.threshold),
    ("predict_duration_ms", lambda said: said.predict_duration_ms),
    ("model_version", lambda said: said.model_version),
)


def _overlay(rows: list[dict[str, Any]], record: RequestRecord, event_id: str, counts: Counter[str]) -> None:
    """What the handler logged wins key by key; an index without a row makes one."""
    for said in record.logged or ():
        whole = said.record_index is None
        targets = rows if whole else [_row_of(rows, record, event_id, said.record_index or 0)]
        for row in targets:
            for name, value in said.features.items():
                if isinstance(value, list | dict):
                    counts["lists_ignored"] += 1
                else:
                    row["rescued"].pop(name, None)
                    _put(row["features"], row["rescued"], name, value)
            for column, told in _COLUMNS:
                value = told(said)
                if value is not None:
                    row[column] = value


def _row_of(rows: list[dict[str, Any]], record: RequestRecord, event_id: str, index: int) -> dict[str, Any]:
    for row in rows:
        if row["record_index"] == index:
            return row
    if len(rows) == 1 and rows[0]["record_index"] is None and not rows[0]["features"]:
        rows.clear()  # a body without rows of its own: the logged items are the rows
    row = _row(record, event_id, index)
    rows.append(row)
    return row
