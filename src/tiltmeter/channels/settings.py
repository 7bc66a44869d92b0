"""What every channel's part of the configuration shares."""

from __future__ import annotations

from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

SEND_TIMEOUT_S = 15.0
"""A whole send must end within this time; a claim lasts 60 s, so that no second worker takes the same message."""


def is_reference(text: str) -> bool:
    """Whether a secret still stands as `env:NAME` or `file:PATH`."""
    return text.startswith(("env:", "file:")) and not text.startswith("file://")


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is not an http or https address")
    return text


def _secret_web_address(secret: SecretStr) -> SecretStr:
    if not is_reference(secret.get_secret_value()):
        _web_address(secret.get_secret_value())
    return secret


WebAddress = Annotated[str, AfterValidator(_web_address)]
SecretWebAddress = Annotated[SecretStr, AfterValidator(_secret_web_address)]


class ChannelPart(BaseModel):
    """Keys that every kind has."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    clear_text: ClassVar[frozenset[str]] = frozenset()
    """Secret fields that may stand in the file as they are, as long as they hold no password."""

    kind: str
    fallback: str | None = None
    timeout_s: float = Field(default=SEND_TIMEOUT_S, gt=0, le=45)
