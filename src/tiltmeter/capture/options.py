"""How capture behaves in one application."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tiltmeter.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiltmeter.capture.privacy import Privacy

Version: TypeAlias = "str | Callable[[], str]"

EXCLUDED_PATHS = ("/metrics", "/healthz", "/readyz", "/docs", "/redoc", "/openapi.json")
POLICIES = ("drop", "block", "fail_request")
REQUEST_IDS = frozenset({b"x-request-id", b"client_request_id"})
"""Headers in which a client or a proxy names the request."""


@dataclass(frozen=True, slots=True, eq=False)
class CaptureOptions:
    """What `Capture` was told.

    Args:
        model: of every route that `models` does not name; empty records those only.
        model_version: text or function, for every model or by model.
        models: route template -> model.
        privacy: fields that never reach the disk.
        exclude_paths: paths, with everything below them, that are not recorded.
        sampling: fraction of requests that are recorded, in (0, 1].
        on_full: `drop`, `block` or `fail_request`.
        block_seconds: longest wait of `block`; then the record is dropped and counted.
        max_body: bytes kept of each body.
        requester_header: request header that names who asked.
        chance: gives numbers in [0, 1) for sampling.
        reduces: whether there are privacy rules; this and the rest is asked for every request, so looked at once.
        looked_for: request headers that are read.
        fixed_version: the version of every model; None when it depends on the model or the moment.
    """

    privacy: Privacy
    model: str = ""
    model_version: Version | Mapping[str, Version] = ""
    models: Mapping[str, str] = field(default_factory=dict)
    exclude_paths: tuple[str, ...] = EXCLUDED_PATHS
    sampling: float = 1.0
    on_full: str = "drop"
    block_seconds: float = 5.0
    max_body: int = 1_048_576
    requester_header: bytes = b""
    chance: Callable[[], float] = random.random
    reduces: bool = field(init=False)
    looked_for: frozenset[bytes] = field(init=False)
    fixed_version: str | None = field(init=False)

    def __post_init__(self) -> None:
        if not self.model and not self.models:
            raise ConfigError("Capture knows no model", hint='write Capture(app, model="lead-scoring", …)')
        if not 0.0 < self.sampling <= 1.0:
            raise ConfigError(f"sampling is {self.sampling}", hint="it is the fraction that is recorded, in (0, 1]")
        if self.on_full not in POLICIES:
            raise ConfigError(f'on_full is "{self.on_full}"', hint=f"use {', '.join(POLICIES)}")
        object.__setattr__(self, "reduces", bool(self.privacy))
        object.__setattr__(self, "looked_for", REQUEST_IDS | {b"traceparent", self.requester_header})
        object.__setattr__(self, "fixed_version", self.model_version if type(self.model_version) is str else None)

    def model_of(self, route: str) -> str:
        """Model behind a route template, empty when it is not recorded."""
        return self.models.get(route, self.model) if self.models else self.model

    def version_of(self, model: str) -> str:
        """Version of a model at this moment."""
        version = self.model_version
        if type(version) is str:
            return version
        if not isinstance(version, str) and not callable(version):
            version = version.get(model, "")
        return version if isinstance(version, str) else str(version())


def spool_folder(given: Path | str | None) -> Path:
    """The spool: as given, else `$TILTMETER_SPOOL`, else `./tiltmeter-home/spool`."""
    return Path(given or os.environ.get("TILTMETER_SPOOL") or "tiltmeter-home/spool")
