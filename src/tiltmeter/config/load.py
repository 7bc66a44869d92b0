"""The configuration of an installation: file, environment and defaults in one checked value."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from tiltmeter.config.explain import config_error
from tiltmeter.config.models import model_of
from tiltmeter.config.rules import parse_rules
from tiltmeter.config.settings import RULE_KEYS, Settings
from tiltmeter.config.yaml_source import YamlSource, parse_yaml, read_yaml
from tiltmeter.domain.errors import ConfigError
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.rule import RuleSet

FILE_NAME = "tiltmeter.yaml"
_PREFIX = "TILTMETER_"
_RESERVED = {
    "TILTMETER_SPOOL",
    "TILTMETER_CONFIG",
    "TILTMETER_TEST_DATA",
    "TILTMETER_HASH_KEY",
    "TILTMETER_CAPTURE",
    "TILTMETER_COMPILE",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything an installation was told.

    Args:
        path: the file, None when there is none and the defaults hold.
        home: absolute folder of spool, tables, state and reports.
        settings: as in the file, defaults filled in.
        rules: with their routes and escalations.
        models: by name.
        zone: business time zone.
        source: the file with its line numbers.
    """

    path: Path | None
    home: Path
    settings: Settings
    rules: RuleSet
    models: Mapping[str, Model]
    zone: ZoneInfo
    source: YamlSource

    def placed(self, place: str) -> Path:
        """A path of the configuration: relative ones lie in `home`."""
        return self.home / place


def find_file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the given one, `$TILTMETER_CONFIG`, or `./tiltmeter.yaml`; None when there is none.

    Raises:
        ConfigError: a file was named and does not exist.
    """
    named = given or (Path(environ["TILTMETER_CONFIG"]) if environ.get("TILTMETER_CONFIG") else None)
    if named is not None:
        if not named.exists():
            raise ConfigError(f"there is no configuration file {named}", hint="`tiltmeter init` writes one")
        return named
    here = Path(FILE_NAME)
    return here if here.exists() else None


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Configuration:
    """Read and check everything.

    Args:
        path: the file; None looks for one.
        environ: environment, `os.environ` by default; `TILTMETER_SERVER__PORT` overrides `server.port`.

    Raises:
        ConfigError: the first thing that is wrong, with file:line and what to do.
    """
    surroundings = os.environ if environ is None else environ
    file = find_file(path, surroundings)
    source = read_yaml(file) if file is not None else parse_yaml("{}", name="(defaults)")
    source.refuse_unknown((), [*Settings.model_fields, *RULE_KEYS])
    data = {key: value for key, value in source.data.items() if key not in RULE_KEYS}
    _override(data, surroundings, source)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise config_error(error, Settings, source) from None
    folder = file.resolve().parent if file is not None else Path.cwd()
    home = (folder / settings.home).resolve()
    zone = ZoneInfo(settings.timezone)
    models = {name: model_of(name, part, home=home, zone=zone) for name, part in settings.models.items()}
    rules = _rules(source, settings)
    return Configuration(file, home, settings, rules, models, zone, source)


def _rules(source: YamlSource, settings: Settings) -> RuleSet:
    return parse_rules(source, channels=settings.channels, models=settings.models)


def _override(data: dict[str, Any], environ: Mapping[str, str], source: YamlSource) -> None:
    """Values from the environment; a name that is neither an override nor used by the file is an error."""
    used = _named_by_file(source.data)
    for name, text in environ.items():
        if not name.upper().startswith(_PREFIX) or name in _RESERVED or name in used:
            continue
        keys = name.removeprefix(_PREFIX).lower().split("__")
        if name != name.upper() or keys[0] not in Settings.model_fields:
            known = [_PREFIX + key.upper() for key in Settings.model_fields]
            raise ConfigError(
                f"the environment variable {name} is unknown", hint=did_you_mean(name, [*known, *sorted(_RESERVED)])
            )
        target = data
        for key in keys[:-1]:
            below = target.setdefault(key, {})
            if not isinstance(below, dict):
                raise ConfigError(f"the environment variable {name} goes deeper than the setting {key}")
            target = below
        target[keys[-1]] = parse_yaml(f"value: {text}", name=name).data["value"]


def _named_by_file(node: object) -> set[str]:
    if isinstance(node, dict):
        return set().union(*(_named_by_file(value) for value in node.values())) if node else set()
    if isinstance(node, list | tuple):
        return set().union(*(_named_by_file(value) for value in node)) if node else set()
    return {node.removeprefix("env:")} if isinstance(node, str) and node.startswith("env:") else set()
