"""Validation errors as one sentence a person understands: where, what, and what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from tiltmeter.config.yaml_source import dotted
from tiltmeter.domain.errors import ConfigError
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

    from tiltmeter.config.yaml_source import YamlSource


def config_error(error: ValidationError, model: type[BaseModel], source: YamlSource) -> ConfigError:
    """The first finding with its file and line, and how many more there are.

    Args:
        error: as pydantic raised it.
        model: of the whole file.
        source: for line numbers.
    """
    findings = error.errors(include_input=False, include_url=False)
    # Of a choice such as "capture or a table" every branch complains; the deepest complaint is the one that is meant.
    first = max(findings, key=lambda finding: (len(finding["loc"]), finding["type"] == "extra_forbidden"))
    path = _path(first["loc"], source)
    more = len({f["loc"][:2] for f in findings}) - 1
    also = f" (and {more} more)" if more > 0 else ""
    if first["type"] == "extra_forbidden":
        known = sorted({name for section in _sections(model, path[:-1]) for name in _keys(section)})
        hint = did_you_mean(str(path[-1]), known) if known else None
        return ConfigError(f'unknown key "{dotted(path)}"{also}', at=source.at(*path), hint=hint)
    if first["type"] == "missing":
        return ConfigError(f'"{dotted(path)}" is missing{also}', at=source.at(*path[:-1]))
    cause = getattr(first.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(cause, ConfigError):
        return ConfigError(f"{dotted(path)}: {cause.what}{also}", at=source.at(*path), hint=cause.hint)
    said = first["msg"][0].lower() + first["msg"][1:]
    return ConfigError(f"{dotted(path)}: {said}{also}", at=source.at(*path))


def _path(location: tuple[int | str, ...], source: YamlSource) -> tuple[int | str, ...]:
    """The location without the names of union branches that pydantic puts in between."""
    path: list[int | str] = []
    node: Any = source.data
    for index, part in enumerate(location):
        last = index == len(location) - 1
        below = _below(node, part)
        if below is not None:
            node = below[0]
            path.append(part)
        elif last and isinstance(part, str) and part.isidentifier():
            path.append(part)
    return tuple(path)


def _below(node: object, part: int | str) -> tuple[object] | None:
    """What stands under the part, in a tuple of one; None when nothing does."""
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return (node[part],)
    if isinstance(node, dict) and part in node:
        return (node[part],)
    return None


def _keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield field.alias or name


def _sections(model: type[BaseModel], path: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The sections that may stand at the path."""
    found: list[Any] = [model]
    for part in path:
        below: list[Any] = []
        for section in found:
            fields = getattr(section, "model_fields", None)
            if fields is None:
                continue
            by_key = {(field.alias or name): field for name, field in fields.items()}
            # A part that is no field is the key of a mapping (a model's name): the section below it is the same.
            below.extend(_models_in(by_key[part].annotation) if part in by_key else [section])
        found = below or found
    return [section for section in found if isinstance(section, type) and issubclass(section, BaseModel)]


def _models_in(annotation: Any) -> list[Any]:  # noqa: ANN401 - a typing construct
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
