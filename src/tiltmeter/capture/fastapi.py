"""`Capture(app, model=…)`: records every request of a FastAPI, Starlette or other ASGI application.

Pure ASGI, standard library and msgspec only. It stands outside of the application's own error handling, sees what the
client sent and what it got, and never changes an answer but for an `x-request-id` header.
"""

from __future__ import annotations

import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.context import count_here
from tiltmeter.capture.exchange import SWIFTEST
from tiltmeter.capture.options import EXCLUDED_PATHS, CaptureOptions, spool_folder
from tiltmeter.capture.patient import PatientExchange
from tiltmeter.capture.privacy import HASH_KEY, Privacy
from tiltmeter.capture.report import report
from tiltmeter.capture.writer import SpoolWriter
from tiltmeter.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from tiltmeter.capture.exchange import Receive, Scope, Send
    from tiltmeter.capture.options import Version

    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ["Capture"]


class Capture:
    """Records requests of an application.

    `Capture(app, model="lead-scoring")` on a FastAPI or Starlette application instruments it in place: there is nothing
    else to change, and `app` stays what the server runs. Around any other ASGI callable it is a wrapper, and
    `app.add_middleware(Capture, model="lead-scoring")` works as well.

    Args:
        app: the application.
        model: model name of every route that `models` does not name.
        model_version: text, a function, or either by model name.
        models: route template -> model name, for several models in one application; without `model`, other routes are
            not recorded.
        spool: folder; by default `$TILTMETER_SPOOL`, else `./tiltmeter-home/spool`.
        drop: fields that are never stored.
        hash: fields that are stored as a keyed hash.
        truncate: field -> characters that are stored.
        hash_key: `env:NAME` or `file:PATH`.
        exclude_paths: paths, with everything below them, that are not recorded.
        sampling: fraction of the requests that are recorded; it stands in each record.
        durability: `process` survives `kill -9`; `disk` survives power loss and waits for the disk.
        max_bytes: byte budget of the whole spool.
        min_free: share of the file system that stays free.
        on_full: `drop` and count; `block` up to `block_seconds`, then drop; or `fail_request`: answer 503.
        block_seconds: see `on_full`; also the longest wait for a disk.
        max_body: bytes stored of each body.
        requester_header: request header that names who asked.
        writer: a spool writer that is shared with other code, instead of one of its own.
        chance: gives numbers in [0, 1) for sampling.

    Raises:
        ConfigError: an option is wrong.
        UsageError: the application is already running.
    """

    def __init__(
        self,
        app: Any,  # noqa: ANN401 - any ASGI application; naming FastAPI's type would import it
        *,
        model: str = "",
        model_version: Version | Mapping[str, Version] = "",
        models: Mapping[str, str] | None = None,
        spool: Path | str | None = None,
        drop: Sequence[str] = (),
        hash: Sequence[str] = (),  # noqa: A002 - the word of the configuration
        truncate: Mapping[str, int] | None = None,
        hash_key: str = HASH_KEY,
        exclude_paths: Sequence[str] = EXCLUDED_PATHS,
        sampling: float = 1.0,
        durability: str = "process",
        max_bytes: int = 2_000_000_000,
        min_free: float = 0.10,
        on_full: str = "drop",
        block_seconds: float = 5.0,
        max_body: int = 1_048_576,
        requester_header: str = "",
        writer: SpoolWriter | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options = CaptureOptions(
            privacy=Privacy(drop=drop, hash=hash, truncate=truncate, key=hash_key),
            model=model,
            model_version=model_version,
            models=dict(models or {}),
            exclude_paths=tuple(exclude_paths),
            sampling=sampling,
            on_full=on_full,
            block_seconds=block_seconds,
            max_body=max_body,
            requester_header=requester_header.lower().encode(),
            chance=chance,
        )
        self.writer = writer or SpoolWriter(
            spool_folder(spool), durability=durability, budget=Budget(max_bytes=max_bytes, min_free=min_free)
        )
        may_wait = on_full != "drop" or self.writer.durability == "disk"
        self._exchange = PatientExchange if may_wait else SWIFTEST
        self._in_flight = self.writer.in_flight.requests
        if spool is None and writer is None:
            sys.stderr.write(f"tiltmeter: requests are recorded in {self.writer.spool.absolute()}\n")
        self._samples = sampling < 1.0
        self._excluded = frozenset(self._options.exclude_paths)
        self._excluded_below = tuple(f"{path.rstrip('/')}/" for path in self._options.exclude_paths)
        count_here(self.writer.counters)
        self._app: Application = app
        self._in_place = hasattr(app, "add_middleware")
        if self._in_place:
            _add_to(app, self._inside)

    def _inside(self, app: Application) -> Application:
        return partial(self._pass_on, app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if self._in_place:
            await self._app(scope, receive, send)
        else:
            await self._pass_on(self._app, scope, receive, send)

    async def _pass_on(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                self.writer.start()  # the first request need not wait for the slot
            await app(scope, receive, send)
            return
        exchange = None
        mark = id(scope)
        try:
            path = scope["path"]
            if not (path in self._excluded or path.startswith(self._excluded_below)):
                self._in_flight.add(mark)  # sampled out or not: it occupies the worker
                if not (self._samples and self._is_left_out()):
                    exchange = self._exchange(self._options, self.writer, scope, receive, send)
        except Exception as error:  # noqa: BLE001 - capture boundary: the request is served whatever goes wrong here
            self.writer.counters.add("capture_errors")
            report("capture_failed", "a request could not be watched", error=error)
        try:
            if exchange is None:
                await app(scope, receive, send)
                return
            try:
                await app(scope, exchange.receive, exchange.send)
            except BaseException as error:
                await exchange.fail(error)
                raise
            if not exchange.done:
                exchange.end()
        finally:
            self._in_flight.discard(mark)

    def _is_left_out(self) -> bool:
        return self._options.chance() >= self._options.sampling

    def close(self) -> None:
        """Seal the spool and give the slot back; otherwise done when the process ends."""
        self.writer.close()


def _add_to(app: Any, middleware: Callable[[Application], Application]) -> None:  # noqa: ANN401 - see Capture
    try:
        app.add_middleware(middleware)
    except RuntimeError as error:
        raise UsageError(
            "Capture was called after the application had started", hint="call it right after the routes are defined"
        ) from error
