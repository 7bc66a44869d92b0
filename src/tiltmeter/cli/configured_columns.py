"""What `tiltmeter.yaml` says of a table, where a command names nothing but the table."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.model import Model


def is_configured() -> bool:
    """Whether there is a configuration to ask."""
    return bool(os.environ.get("TILTMETER_CONFIG")) or Path("tiltmeter.yaml").exists()


def configured_model(data: str, name: str = "") -> Model | None:
    """The model whose rows are read from this table; where there are several, the named one, else the first.

    Args:
        data: path of the table, `path@version` too.
        name: of the model that a command was asked for.
    """
    if not is_configured():
        return None
    from tiltmeter.config.load import load_settings

    place = Path(data.partition("@")[0] if not Path(data).exists() else data).resolve()
    models = load_settings().models.values()
    found = [model for model in models if model.source is not None and Path(model.source.table).resolve() == place]
    return next((model for model in found if model.name == name), found[0] if found else None)


def with_configured(
    given: ColumnRoles, model: Model, *, reference: Collection[str], current: Collection[str]
) -> ColumnRoles:
    """The roles; what was not said is what the model's windows are judged with.

    As there, a configured name that neither side has says nothing.

    Args:
        given: roles from the options, which go before.
        model: as configured.
        reference: columns of the side that the baseline is made from.
        current: columns of the side that is judged.
    """
    source, either = model.source, {*reference, *current}
    columns = {role: name for role, name in (source.columns if source else {}).items() if name in either}

    def role(stated: str | None, configured: str) -> str | None:
        name = columns.get(configured)
        return stated or (name if name in reference else None)

    score, label, entity = role(given.score, "prediction"), role(given.label, "label"), role(given.entity, "entity_id")
    apart = {*columns.values(), *(either.intersection((*model.ignore, *model.drop)))} - {score, label, entity}
    features = source.features if source else None
    if given.features is None and features is not None:
        features = tuple(name for name in features if name in reference and name not in apart)
    return replace(
        given,
        features=features if given.features is None else given.features,
        ignore=tuple(dict.fromkeys((*given.ignore, *sorted(apart)))),
        kinds={**{name: kind for name, kind in model.kinds.items() if name in either}, **given.kinds},
        missing_values={
            **{name: v for name, v in model.missing_values.items() if name in either},
            **given.missing_values,
        },
        score=score,
        label=label,
        entity=entity,
    )


def configured_weights(given: Mapping[str, float], model: Model, names: Collection[str]) -> dict[str, float]:
    """Weights of features; where a feature has none of its own, the configured one."""
    return {**{name: weight for name, weight in model.weights.items() if name in names}, **given}


def taken(given: ColumnRoles, roles: ColumnRoles) -> str:
    """What the configuration added to the roles, in words; empty where it is nothing."""
    said = [
        f"{word} {name}"
        for word, old, name in (
            ("score", given.score, roles.score), ("label", given.label, roles.label),
            ("entity", given.entity, roles.entity),
        )
        if name and name != old
    ]  # fmt: skip
    if roles.features is not None and given.features is None:
        said.append("1 feature" if len(roles.features) == 1 else f"{len(roles.features)} features")
    declared = [name for name in roles.missing_values if name not in given.missing_values]
    if declared:
        said.append(f"missing values of {', '.join(declared)}")
    return ", ".join(said)
