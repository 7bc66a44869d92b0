"""Start of the command line: finds the command, loads it alone, and turns errors into one sentence."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tiltmeter import __version__
from tiltmeter.cli.commands import COMMANDS
from tiltmeter.domain.errors import TiltmeterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_EXTRAS = {
    "streamlit": "dashboard",
    "altair": "dashboard",
    "pyspark": "spark",
    "delta": "spark",
    "databricks": "databricks",
    "mlflow": "mlflow",
    "psycopg": "postgres",
    "sklearn": "demo",
}
"""Extra that brings a package, where it is not `local`."""


class LazyGroup(TyperGroup):
    """The overview lists every command without importing any; the one that runs is imported then."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - handed on as typer gives them
        super().__init__(**attributes)
        for name, (_, help_line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=help_line, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's own classes are private
        """Load the named command, then let typer go on."""
        if args and args[0] in COMMANDS:
            self.add_command(load_command(args[0]))
            _log_beside_the_output()
        return super().resolve_command(ctx, args)


def _log_beside_the_output() -> None:
    """What a command prints may be a document that a program reads: events go to the error stream."""
    if "structlog" in sys.modules:  # a command that logs has imported it; for the others it is not worth its time
        import_module("tiltmeter.service.journal").write_journal()


def load_command(name: str) -> Any:  # noqa: ANN401 - typer's command class is private
    """Import one command; a function becomes a command, a `typer.Typer` a group of commands."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    target = getattr(import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(name)(target)
        target = single
    target.rich_markup_mode = None
    target.pretty_exceptions_enable = False
    command = get_command(target)
    command.name = name
    _keep_example_lines(command)
    return command


def _keep_example_lines(command: Any) -> None:  # noqa: ANN401 - typer's command class is private
    # A backspace in front of a paragraph keeps its lines as they are: commands to copy must not be wrapped.
    if command.help:
        command.help = cleandoc(command.help).replace("\n\nExample", "\n\n\b\nExample")
    for below in getattr(command, "commands", {}).values():
        _keep_example_lines(below)


app = typer.Typer(
    name="tiltmeter",
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"tiltmeter {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Example: tiltmeter compare september.csv october.csv. `tiltmeter COMMAND --help` shows more of each."
)
def overview(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error happened.")] = False,
) -> None:
    """Watches a scoring model from the request to the pager."""
    del version, debug  # handled before: by the callback, and by `main`
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with the exit code of `interfaces.md`.

    Args:
        arguments: without the program's name; those of the process by default.
    """
    # NumPy and SciPy start a thread a core each for products of matrices. Nobody asks for one: 0.1 CPU s of waiting.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows no arrows shows "?" instead of failing
            stream.reconfigure(errors="replace")
    given, is_debugging = _without_debug(given)
    try:
        app(args=given, prog_name="tiltmeter")
    except TiltmeterError as error:
        if is_debugging:
            raise
        fail(str(error), code=error.exit_code)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if is_debugging or missing in {"", "tiltmeter"}:
            raise
        extra = _EXTRAS.get(missing, "local")
        fail(f'this needs the package {missing}, which is not installed; pip install "tiltmeter[{extra}]"', code=1)
    finally:
        if not is_debugging:  # typer puts a hook of its own in place while it runs
            sys.excepthook = _unexpected


def _without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """`--debug` may stand anywhere before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    head = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*head, *arguments[end:]], len(head) < end


def fail(sentence: str, *, code: int) -> None:
    """Print one sentence to standard error and end the process."""
    shown = "".join(character if character.isprintable() else " " for character in sentence)
    print(f"tiltmeter: {shown}", file=sys.stderr)
    sys.exit(code)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    del trace
    text = "".join(character if character.isprintable() else " " for character in str(error))[:300]
    print(
        f"tiltmeter: unexpected {kind.__name__}: {text}; this is a defect of Tiltmeter: "
        "the same command with --debug shows where",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
