"""The configuration's privacy rules, applied again before rows reach a table.

Capture applies the rules that the API was deployed with. Rules of the configuration hold for every source (requests,
batch rows, outcomes), also for what was spooled before they were written. A value that is hashed already stays as it
is, so both may name the same field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from tiltmeter.capture.frames import private_column
from tiltmeter.capture.privacy import Privacy
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
    return {name: Privacy(drop=model.drop, hash=model.hash) for name, model in named.items()}


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
