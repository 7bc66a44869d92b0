"""What an MLflow server takes, and the databases behind it: lengths, characters, sizes; and its client's patience."""

from __future__ import annotations

import json
import math
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALL_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment of the client: its own defaults retry for minutes."""

BATCH_ENTITIES = 1000
"""Metrics and tags of one request; the server refuses more."""

BATCH_BYTES = 900_000
"""Of one request; the server refuses a million."""

_NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
_LONGEST_NAME = 200
_LONGEST_TAG = 5000
_LONGEST_RUN_NAME = 250
_LONGEST_EXPERIMENT = 256
"""PostgreSQL holds no more of a run's and an experiment's name."""


def clean_names(numbers: Mapping[str, float | None]) -> dict[str, float]:
    """Finite numbers under names that MLflow takes; two names that become one are told apart by a hash.

    A name whose number is missing still holds its place, so that no other one is called by it on that day.
    """
    cleaned: dict[str, float | None] = {}
    for name, value in numbers.items():
        short = "/".join(part.strip(" .") or "_" for part in _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME].split("/"))
        if short in cleaned or len(name) > _LONGEST_NAME:
            short += "_" + blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
        cleaned[short] = value
    return {name: value for name, value in cleaned.items() if value is not None and math.isfinite(value)}


def run_key(identity: Mapping[str, str]) -> str:
    """What a run is found by: a value of a tag may hold what no filter can ask for."""
    text = json.dumps(sorted(identity.items()))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def experiment_name(name: str) -> str:
    """`name/monitoring` within what PostgreSQL holds."""
    return _sound(name, _LONGEST_EXPERIMENT, tail=name.rpartition("/")[2])


def run_name(name: str) -> str:
    """A run's name within what PostgreSQL holds."""
    return _sound(name, _LONGEST_RUN_NAME)


def tag_value(value: str) -> str:
    """A tag's value."""
    return _sound(value, _LONGEST_TAG)


def data_name(name: str) -> str:
    """A data set's name."""
    return _sound(name, _LONGEST_NAME)


def _sound(text: str, most: int, *, tail: str = "") -> str:
    """A text that every database behind the server takes; one that is cut ends in a hash, and in `tail`."""
    clean = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(clean) <= most:
        return clean
    end = f"… {blake2b(clean.encode(), digest_size=4).hexdigest()}" + (f"/{tail}" if tail else "")
    return clean[: most - len(end)] + end


def batches(metrics: Sequence[Any], *, beside: int) -> list[list[Any]]:
    """At least one batch, each within the server's limits of number and size.

    Args:
        metrics: of one moment.
        beside: number of tags that come with them.
    """
    parts: list[list[Any]] = [[]]
    size = 0
    for metric in metrics:
        # Names are escaped on their way; numbers and the words around them take 150 bytes.
        bytes_of_one = len(json.dumps(metric.key)) + 150
        if len(parts[-1]) >= BATCH_ENTITIES - beside or size + bytes_of_one > BATCH_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(metric)
        size += bytes_of_one
    return parts
