"""A spool written by the product's own writer, for tests of what comes after it."""

import json
import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tiltmeter.capture.record import OutcomeRecord, RequestRecord, encode_record, micros
from tiltmeter.capture.writer import SpoolWriter
from tiltmeter.domain.errors import StoreError

START = datetime(2026, 3, 10, 9, tzinfo=UTC)


def request(number: int, *, at: datetime = START, status: int = 200, **changed) -> RequestRecord:
    """The number-th request: one millisecond after the one before, 26 features."""
    rng = random.Random(number)
    body = {
        "entity_id": f"lead-{number}",
        **{f"n{k:02d}": rng.random() * 10 for k in range(18)},
        **{f"c{k}": rng.choice(["web", "mail", "fair"]) for k in range(8)},
        **changed.pop("features", {}),
    }
    sent = json.dumps(body).encode()
    answer = json.dumps({"score": rng.random()}).encode()
    facts = {
        "time_us": micros(at) + number * 1000,
        "model": "lead-scoring",
        "model_version": "14",
        "method": "POST",
        "route": "/score",
        "status": status,
        "duration_us": 1000 + number % 50 * 1000,
        "request_id": f"r-{number}",
        "request": sent,
        "response": answer,
        "request_bytes": len(sent),
        "response_bytes": len(answer),
    }
    return RequestRecord(**(facts | changed))


def outcome(number: int, *, converted: bool = True, recorded: datetime = START, **changed) -> OutcomeRecord:
    facts = {
        "outcome_id": f"o-{number}",
        "entity_id": f"lead-{number}",
        "time_us": micros(START),
        "recorded_us": micros(recorded),
        "converted": converted,
        "revenue": 100.0 if converted else None,
    }
    return OutcomeRecord(**(facts | changed))


def fill(spool: Path, records, *, host: str = "api-1", seal_bytes: int = 8_000_000) -> None:
    """Write records through one worker and seal them."""
    writer = SpoolWriter(spool, host=host, seal_bytes=seal_bytes, threaded=False)
    for place, record in enumerate(records):
        writer.put(record if isinstance(record, bytes) else encode_record(record))
        if place % 100 == 0:
            writer.tend()
    writer.close()


def acknowledged(writer: SpoolWriter, position: int) -> bool:
    """Whether the writer says that a record is on the disk, after one round of its thread, which the caller runs."""
    with suppress(StoreError):  # begins to wait
        writer.block_until_durable(position, seconds=0)
    writer.tend()
    try:
        writer.block_until_durable(position, seconds=0)
    except StoreError:
        return False
    return True
