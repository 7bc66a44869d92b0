"""Tiltmeter watches a scoring model from the request to the pager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiltmeter.api import Baseline, compare
    from tiltmeter.api.training import log_baseline
    from tiltmeter.capture.context import log

__version__ = "0.1.0"

__all__ = ["Baseline", "__version__", "compare", "log", "log_baseline"]

_HOMES = {
    "Baseline": "tiltmeter.api",
    "compare": "tiltmeter.api",
    "log": "tiltmeter.capture.context",
    "log_baseline": "tiltmeter.api.training",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the public names have different types
    """Load a public name on first use, so that `import tiltmeter` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tiltmeter' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
