"""Errors of the MLflow client and its transport, in our words: what happened, where, what to do, and no password."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tiltmeter.domain.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSWORD = re.compile(r"://[^/@\s]*@")
_SERVER_HINT = "is the server up, and does `mlflow.tracking_uri` name it?"
_REFUSED = "the server answers and refuses it: make, correct or restore there what it names"
_HINTS = {
    "RESOURCE_DOES_NOT_EXIST": _REFUSED,
    "INVALID_PARAMETER_VALUE": _REFUSED,
    "INVALID_STATE": _REFUSED,
    "PERMISSION_DENIED": "let the user of MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN do this",
}
"""What to do about an error that the server itself names."""
_KINDS = {"MlflowException", "RequestException", "OSError", "ValueError"}
"""By name: nothing of the client is loaded here."""


@contextmanager
def in_our_words(at: str) -> Iterator[None]:
    """Whatever goes wrong on the way to the server as one StoreError.

    Args:
        at: what was asked for, or the server's address.

    Raises:
        StoreError: the server refused, did not answer, or answered nonsense.
    """
    try:
        yield
    except (StoreError, ConfigError):
        raise
    except Exception as error:
        if not {kind.__name__ for kind in type(error).__mro__} & _KINDS:
            raise
        text = without_password((str(error).splitlines() or [""])[0])[:200]
        raise StoreError(
            f"MLflow did not do it ({type(error).__name__}: {text})", at=without_password(at), hint=_hint(error),
            retryable=True,
        ) from error  # fmt: skip


def _hint(error: Exception) -> str:
    if "Invalid Host header" in str(error):
        return "name the host and port of `mlflow.tracking_uri` in the server's `--allowed-hosts`"
    return _HINTS.get(getattr(error, "error_code", ""), _SERVER_HINT)


def without_password(text: str) -> str:
    """A text whose addresses name no user and password."""
    return _PASSWORD.sub("://", text)
