"""What the commands of an installation share: finding its configuration and printing facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiltmeter.domain.errors import UsageError
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file [default: $TILTMETER_CONFIG or ./tiltmeter.yaml]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """Facts for programs: one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def chosen_models(world: World, name: str | None) -> list[Model]:
    """The named model, or all.

    Raises:
        UsageError: there is none of that name.
    """
    if name is None:
        return list(world.models.values())
    if name not in world.models:
        raise UsageError(f'there is no model "{name}"', hint=did_you_mean(name, list(world.models)))
    return [world.models[name]]
