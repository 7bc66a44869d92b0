"""The page of every command, written from the commands themselves."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from tiltmeter.cli.app import load_command
from tiltmeter.cli.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """# Commands

This page is written from the commands; `tiltmeter COMMAND --help` prints the same.

Exit codes: `0` fine, `1` bad data or a failed operation, `2` wrong usage or configuration, `3` something at or above
the severity of `--fail-on`. Facts go to standard output (`--json` where a program reads them), remarks to standard
error; progress is shown on a terminal only; `NO_COLOR` is respected. `--debug` shows where an unexpected error was.
"""


def reference_page() -> str:
    """Markdown with one section a command."""
    overview = [f"| [`{name}`](#{name}) | {said} |" for name, (_, said) in COMMANDS.items()]
    head = "\n".join([_HEAD, "| command | |", "|---|---|", *overview, ""])
    return "\n".join([head, *(line for name in COMMANDS for line in _section(name, load_command(name)))])


def _section(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer's command class is private
    below = getattr(command, "commands", None)
    yield f"## {name}\n"
    if not below:
        yield from _body(f"tiltmeter {name}", command)
        return
    yield f"{_words(command)}\n"
    for word, inner in below.items():
        yield f"### {name} {word}\n"
        yield from _body(f"tiltmeter {name} {word}", inner)


def _body(usage: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer's command class is private
    said, _, example = _words(command).partition("Example:")
    yield f"{said.strip()}\n"
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    names = "".join(f" {_shown(argument)}" for argument in arguments)
    yield f"```\n{usage}{names}{' [OPTIONS]' if options else ''}\n```\n"
    rows = [(_shown(argument), argument.help) for argument in arguments]
    rows += [(", ".join([*option.opts, *option.secondary_opts]), option.help) for option in options]
    if rows:
        yield "| | |\n|---|---|"
        yield "\n".join(f"| `{shown}` | {(words or '').replace('|', chr(92) + '|')} |" for shown, words in rows)
        yield ""
    if example:
        yield f"```\n{cleandoc(example)}\n```\n"


def _shown(argument: Any) -> str:  # noqa: ANN401 - typer's parameter class is private
    return str(argument.metavar or argument.name.upper())


def _words(command: Any) -> str:  # noqa: ANN401 - typer's command class is private
    return cleandoc((command.help or "").replace("\b", "")).strip()
