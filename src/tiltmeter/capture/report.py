"""How capture speaks up in a process that is not ours: the standard logging, and not too often."""

from __future__ import annotations

import logging
import threading
import time

_LOGGER = logging.getLogger("tiltmeter.capture")
_PAUSE_SECONDS = 60.0

_last: dict[str, float] = {}
_lock = threading.Lock()


def report(event: str, text: object, *, error: BaseException | None = None) -> None:
    """Warn, at most once a minute for each event: a failing disk must not fill the log as well.

    Args:
        event: noun and past verb.
        text: one sentence, or what becomes one when it is printed; never a value of a request.
        error: its class is named, its text is not: it may quote the request.
    """
    now = time.monotonic()
    with _lock:
        if now - _last.get(event, -_PAUSE_SECONDS) < _PAUSE_SECONDS:
            return
        _last[event] = now
    _LOGGER.warning("%s: %s%s", event, text, f" ({type(error).__name__})" if error else "")


def tell(event: str, text: str) -> None:
    """Say what is worth knowing once; seen where the process logs at INFO."""
    _LOGGER.info("%s: %s", event, text)
