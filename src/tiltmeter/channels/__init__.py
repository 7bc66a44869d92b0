"""Ways to people, one file a kind: a message goes in, a receipt or a `DeliveryError` comes out; nothing is retried.

A further kind is a class with `settings_model`, built as `Kind(name, settings, clock=clock)`, and one line below (or an
entry point in the group `tiltmeter.channels`). `tiltmeter.testing.channel_contract` says what every kind must do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from tiltmeter.channels.settings import is_reference
from tiltmeter.domain.errors import ConfigError
from tiltmeter.registry import Registry, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from tiltmeter.ports import Channel, Clock

CHANNELS = Registry(
    "channel kind",
    {
        "slack": "tiltmeter.channels.slack:SlackChannel",
        "smtp": "tiltmeter.channels.email:EmailChannel",
        "pagerduty": "tiltmeter.channels.pagerduty:PagerDutyChannel",
        "webhook": "tiltmeter.channels.webhook:WebhookChannel",
        "null": "tiltmeter.channels.null:NullChannel",
    },
    "tiltmeter.channels",
)

DASHBOARD = "dashboard"
"""Reserved name: the dashboard reads the state database, nothing is sent."""


def check_channel(name: str, settings: Mapping[str, Any]) -> BaseModel:
    """The settings of one channel as its kind reads them; secrets may still be references (`env:NAME`).

    Raises:
        ConfigError: the name is reserved, the kind unknown, or a key wrong or missing.
    """
    where = f"channels.{name}"
    if name == DASHBOARD:
        raise ConfigError(f'"{DASHBOARD}" is a reserved name: the dashboard needs no channel', at=where)
    kind = settings.get("kind")
    if not isinstance(kind, str):
        raise ConfigError("the channel has no kind", at=where, hint=f"kinds: {', '.join(CHANNELS.names())}")
    model: type[BaseModel] = CHANNELS.load(kind).settings_model
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        raise _config_error(error, where, model) from None  # the original may quote a secret


def _config_error(error: ValidationError, where: str, model: type[BaseModel]) -> ConfigError:
    first = error.errors(include_input=False, include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    at = f"{where}.{key}" if key else where
    if first["type"] == "extra_forbidden":
        return ConfigError(f'unknown key "{key}"', at=at, hint=did_you_mean(key, list(model.model_fields)))
    if first["type"] == "missing":
        return ConfigError(f'the key "{key}" is missing', at=where, hint="docs/channels.md shows every key")
    return ConfigError(first["msg"].removeprefix("Value error, "), at=at)


def build_channel(
    name: str, settings: Mapping[str, Any], *, clock: Clock, resolve: Callable[[str], str] | None = None
) -> Channel:
    """One channel, ready to send.

    Args:
        name: as in the configuration.
        settings: the channel's part of the configuration.
        clock: signs webhooks and bounds waiting.
        resolve: turns `env:NAME` or `file:PATH` into the secret; None when the settings hold the secrets themselves.

    Raises:
        ConfigError: the settings are wrong, or a secret is missing.
    """
    checked = check_channel(name, settings)
    if resolve is not None:
        secrets = {
            type(checked).model_fields[field].alias or field: _resolved(f"channels.{name}", checked, field, resolve)
            for field, value in checked
            if isinstance(value, SecretStr)
        }
        # Validated again: a key is only known to be malformed once it is there.
        checked = check_channel(name, {**dict(settings), **secrets})
    return cast("Channel", CHANNELS.load(str(settings["kind"]))(name, checked, clock=clock))


def _resolved(where: str, checked: BaseModel, field: str, resolve: Callable[[str], str]) -> SecretStr:
    text: str = getattr(checked, field).get_secret_value()
    if is_reference(text):
        return SecretStr(resolve(text))
    if field in getattr(checked, "clear_text", ()) and not urlsplit(text).password:
        return SecretStr(text)
    # The text may be the secret itself, so it is not repeated.
    raise ConfigError(
        f'the secret "{field}" stands in clear text', at=where, hint="write env:NAME or file:PATH instead"
    )


def build_channels(
    settings: Mapping[str, Mapping[str, Any]], *, clock: Clock, resolve: Callable[[str], str] | None = None
) -> dict[str, Channel]:
    """Every configured channel by name; the first wrong one raises."""
    return {name: build_channel(name, part, clock=clock, resolve=resolve) for name, part in settings.items()}


def fallback_of(channel: Channel) -> str:
    """Name of the channel that stands in for a dead one; empty when none is configured."""
    return str(getattr(channel, "fallback", "") or "")


__all__ = ["CHANNELS", "DASHBOARD", "build_channel", "build_channels", "check_channel", "fallback_of"]
