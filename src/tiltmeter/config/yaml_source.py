"""YAML as a configuration needs it: plain values, the line of every key, and nothing that could surprise or harm.

Scalars follow YAML 1.2 (`true`, `null`, numbers; everything else is text): `no`, `on`, `08:00` and dates stay what a
person wrote. Keys are always text. Tags, duplicate keys, several documents, deep nesting and alias bombs are refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tiltmeter.domain.errors import ConfigError
from tiltmeter.registry import did_you_mean

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top, `("rules", 3, "levels")`."""

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 40
_MAX_VALUES = 100_000
"""Values after aliases are written out: a real file has some hundred, a bomb has billions."""

_TEXT, _LIST, _MAP = (f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A file as plain values, with the line of every key.

    Args:
        name: path as the user gave it.
        data: the top level.
        lines: line (from 1) by key path.
    """

    name: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def at(self, *path: str | int) -> str:
        """`file:line` of the key, or of the nearest key above it that exists."""
        for length in range(len(path), 0, -1):
            line = self.lines.get(tuple(path[:length]))
            if line is not None:
                return f"{self.name}:{line}"
        return f"{self.name}:1"

    def refuse_unknown(self, path: KeyPath, known: Collection[str]) -> None:
        """Complain about the first key below `path` that is not known.

        Raises:
            ConfigError: with file:line and the closest known name.
        """
        node: Any = self.data
        for key in path:
            node = node[key]
        for key in node:
            if key not in known:
                raise ConfigError(
                    f'unknown key "{dotted((*path, key))}"', at=self.at(*path, key), hint=did_you_mean(key, list(known))
                )


def dotted(path: KeyPath) -> str:
    """A key path as people write it: `rules[3].levels`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


COMPILED: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""PyYAML's compiled parser where it was built with one: a tenth of the time, but it lets some tabs pass."""


def read_yaml(path: Path) -> YamlSource:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read or is no harmless YAML mapping.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the file cannot be read ({error.strerror})", at=str(path)) from error
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"the file has {len(raw)} bytes, more than {_MAX_BYTES}", at=str(path))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the file is not UTF-8 (byte {error.start})", at=str(path)) from error
    return parse_yaml(text, name=str(path))


def parse_yaml(text: str, *, name: str, parser: Any = yaml.BaseLoader) -> YamlSource:  # noqa: ANN401 - no common type
    """The same for text that is already there.

    Args:
        text: one YAML document.
        name: what errors call it.
        parser: one that takes and refuses the same files on every machine by default; `COMPILED` for our own texts.

    Raises:
        ConfigError: it is no harmless YAML mapping.
    """
    try:
        _refuse_depth(text, name, parser)
        root = yaml.compose(text, Loader=parser)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"this is no YAML: {error.problem or error.context}", at=at) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"this is no YAML: {str(error).splitlines()[0]}", at=name) from error
    if root is None:
        return YamlSource(name, {}, {})
    _refuse_bombs(root, name, {})
    builder = _Builder(name)
    data = builder.value(root, ())
    if not isinstance(data, dict):
        raise ConfigError("the file must hold keys and values at the top", at=f"{name}:1")
    return YamlSource(name, data, builder.lines)


def _refuse_depth(text: str, name: str, parser: Any) -> None:  # noqa: ANN401 - as `parse_yaml`
    # Composing recurses; events do not. A file of ten thousand brackets must be an error message, not a crash.
    depth = 0
    for event in yaml.parse(text, Loader=parser):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise ConfigError(f"nested deeper than {_MAX_DEPTH} levels", at=f"{name}:{_line(event)}")


def _refuse_bombs(node: yaml.Node, name: str, known: dict[int, int]) -> int:
    """How many values the node expands to, counted once a node: nine aliases in ten levels are a hundred nodes."""
    count = known.get(id(node))
    if count is None:
        known[id(node)] = _MAX_VALUES  # met again before it is counted: it holds itself
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for item in below for part in (item if isinstance(item, tuple) else (item,)))
        count = known[id(node)] = 1 + sum(_refuse_bombs(part, name, known) for part in parts)
    if count > _MAX_VALUES:
        at = f"{name}:{_line(node)}"
        raise ConfigError("its aliases (*name) expand to too much", at=at, hint="write the values out")
    return count


@dataclass(slots=True)
class _Builder:
    """Turns nodes into values, counting what aliases expand to."""

    name: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    values: int = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:  # noqa: ANN401 - YAML holds values of any type
        at = f"{self.name}:{_line(node)}"
        self.values += 1
        if self.values > _MAX_VALUES or len(path) > _MAX_DEPTH:
            raise ConfigError("its aliases (*name) expand to too much", at=at, hint="write the values out")
        if node.tag not in (_TEXT, _LIST, _MAP):
            raise ConfigError(f'the tag "{node.tag}" is not allowed', at=at, hint="write plain values")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                self.lines[(*path, position)] = _line(item)
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        return _scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            at = f"{self.name}:{_line(key_node)}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError("a key must be a word, not a list or mapping", at=at)
            key = str(key_node.value)
            if key in found:
                first = self.lines[(*path, key)]
                raise ConfigError(
                    f'the key "{dotted((*path, key))}" stands twice', at=at, hint=f"first in line {first}"
                )
            self.lines[(*path, key)] = _line(key_node)
            found[key] = self.value(value_node, (*path, key))
        return found


def _line(marked: yaml.Node | yaml.Event) -> int:
    return marked.start_mark.line + 1 if marked.start_mark else 1


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    text = str(node.value)
    if node.style:  # quoted or block text; plain text has none, or an empty one from the compiled parser
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 20:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
