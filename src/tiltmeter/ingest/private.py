"""The configuration's privacy rules, applied again before rows reach a table.

Capture applies the rules that the API was deployed with. Rules of the configuration hold for every source (requests,
batch rows, outcomes), also for what was spooled before they were written. A value that is hashed already stays as it
is, so both may name the same field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pyarrow as pa

from tiltmeter.capture.frames import private_column
from tiltmeter.capture.privacy import Privacy
from tiltmeter.domain.outcome import CONVERSION, outcome_key
from tiltmeter.store.schema import FEATURE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.capture.record import RequestRecord
    from tiltmeter.domain.model import Model


def rules_of(models: Mapping[str, Model]) -> dict[str, Privacy]:
    """Rules by model; models without any are left out.

    Raises:
        ConfigError: fields are to be hashed and there is no key.
    """
    named = {name: model for name, model in models.items() if model.drop or model.hash}
    return {
        name: Privacy(drop=_with_lead(model.drop, model), hash=_with_lead(model.hash, model))
        for name, model in named.items()
    }


def _with_lead(fields: tuple[str, ...], model: Model) -> tuple[str, ...]:
    """A rule for the field that names the lead is one for the lead: outcomes know it by `entity_id` alone."""
    leads: set[str] = set()
    for route in model.routes:
        # A name is found at any depth, a path only where it leads.
        leads |= {route.entity_id.rsplit(".", 1)[-1], f"{route.features}.{route.entity_id}".removeprefix("$.")}
    if model.source is not None:
        leads.add(model.source.columns.get("entity_id", "entity_id"))
    return (*fields, "entity_id") if leads & set(fields) else fields


def private_record(record: RequestRecord, rules: Privacy) -> tuple[RequestRecord, int]:
    """A request without what must not be stored, and how many of its bodies could not be kept at all."""
    request, response, unreadable = rules.exchange(
        record.request,
        record.response,
        status=record.status,
        is_whole=record.reduced or record.request_bytes == len(record.request),
        is_readable=(record.reduced or record.response_bytes == len(record.response)) and not record.response_encoding,
    )
    kept = msgspec.structs.replace(
        record,
        request=request,
        response=response,
        requester=rules.text("requester", record.requester),
        reduced=True,
        logged=[rules.logged(said) for said in record.logged] if record.logged else None,
    )
    return kept, unreadable


def private_entity(entity_id: str, model: str | None, rules: Mapping[str, Privacy]) -> str | None:
    """The lead of an outcome; one that counts for every model follows the strictest of them."""
    kept: str | None = entity_id
    for name, privacy in rules.items():
        if model is None or model == name:
            kept = privacy.text("entity_id", kept)
    return kept


def private_key(
    outcome_id: str, entity_id: str, kept: str | None, *, model: str | None = None, kind: str | None = None
) -> str:
    """The key of an outcome whose lead is stored as `kept`.

    A key made of the lead's id would give it away to whoever tries all ids, so it is made again of what is kept; as is
    one that the source made the same as the lead's id. Other keys of the source stay, and so does every key where no
    rule changes the id.

    Args:
        outcome_id: as it came.
        entity_id: as it came.
        kept: what `private_entity` says of it; None where it is dropped.
        model: of the outcome.
        kind: of the outcome where we made the key; None where the source gave it, or nobody knows.
    """
    if kept == entity_id:
        return outcome_id
    is_ours = kind is not None or outcome_id == outcome_key(model, entity_id)
    if not is_ours and outcome_id != entity_id:
        return outcome_id
    if kept is None:
        return uuid4().hex
    return outcome_key(model, kept, kind or CONVERSION) if is_ours else kept


def private_columns(columns: Mapping[str, pa.Array], rules: Privacy | None) -> dict[str, pa.Array]:
    """Columns of a batch without what must not be stored; features stand under `f_<name>`."""
    if rules is None:
        return dict(columns)
    kept = {}
    for name, values in columns.items():
        if name == "_rescued_data":
            kept[name] = pa.array([_rescued(text, rules) for text in values.to_pylist()], pa.string())
            continue
        changed = private_column(rules, name.removeprefix(FEATURE_PREFIX), pa.chunked_array([values]))
        if changed is not None:
            kept[name] = changed.combine_chunks()
    return kept


def _rescued(text: str | None, rules: Privacy) -> str | None:
    return None if text is None else rules.body(text.encode()).decode()
