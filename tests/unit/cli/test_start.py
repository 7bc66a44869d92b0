"""The start of the command line: quick, lazy, and plain about mistakes."""

import os
import subprocess
import sys

import pytest

from command_line import tiltmeter
from spools import fill, request
from tiltmeter import __version__
from tiltmeter.cli.app import load_command
from tiltmeter.cli.commands import COMMANDS

HEAVY = ("numpy", "scipy", "pyarrow", "pandas", "pydantic", "rich", "sqlalchemy", "deltalake", "tiltmeter.statistics")


def test_help_lists_every_command():
    ran = tiltmeter("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out


def test_no_arguments_show_the_overview():
    ran = tiltmeter()
    assert ran.code == 0
    assert ran.out == tiltmeter("--help").out


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom tiltmeter.cli.app import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_a_small_comparison_imports_neither_pandas_nor_the_compiled_kernel(tmp_path):
    for name in ("one.csv", "two.csv"):
        rows = "".join(f"{n % 7},{'web' if n % 3 else 'partner'},{n % 2}\n" for n in range(300))
        (tmp_path / name).write_text("size,source,won\n" + rows)
    code = (
        "import sys\nfrom tiltmeter.cli.app import main\n"
        f"try:\n    main(['compare', {str(tmp_path / 'one.csv')!r}, {str(tmp_path / 'two.csv')!r}])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('pandas', 'numba', 'deltalake') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_shipping_brings_rows_into_the_table_without_pandas(tmp_path):
    fill(tmp_path / "spool", [request(n) for n in range(5)])
    (tmp_path / "tiltmeter.yaml").write_text("models:\n  lead-scoring: {}\n")
    code = (
        "import sys\nfrom tiltmeter.cli.app import main\n"
        f"try:\n    main(['ship', '--once', '--config', {str(tmp_path / 'tiltmeter.yaml')!r},"
        f" '--spool', {str(tmp_path / 'spool')!r}])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('pandas' in sys.modules)\n"
        "import pandas, pyarrow\n"
        "frame = pandas.DataFrame({'size': [1.5, None], 'plan': pandas.Categorical(['pro', None])})\n"
        "print(pyarrow.table(frame).to_pandas().equals(frame))\n"  # whoever does use it finds it
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-3:] == ["5 predictions and 0 outcomes shipped", "False", "True"]


def test_help_takes_less_than_a_quarter_of_a_second():
    took = []
    for _ in range(5):
        before = os.times()
        tiltmeter("--help")
        after = os.times()
        # Seconds of the processor: other tests run at the same time.
        took.append(after.children_user - before.children_user + after.children_system - before.children_system)
    assert min(took) < 0.25


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_shows_an_example(name):
    command = load_command(name)
    below = getattr(command, "commands", {})
    for one in below.values() if below else [command]:
        assert f"tiltmeter {name}" in (one.help or ""), one.name
        assert "Example" in one.help


def test_the_version_is_printed():
    ran = tiltmeter("--version")
    assert (ran.code, ran.out) == (0, f"tiltmeter {__version__}\n")


def test_a_misspelt_command_is_answered_with_the_right_one():
    ran = tiltmeter("compar")
    assert ran.code == 2
    assert "'compare'" in ran.err
    assert "Traceback" not in ran.err


def run_with(command: str, *arguments: str):
    """The command line with one more command, whose function is written here."""
    code = (
        "import sys, types\n"
        "module = types.ModuleType('spoilt')\n"
        f"exec({command!r}, module.__dict__)\n"
        "sys.modules['spoilt'] = module\n"
        "from tiltmeter.cli import commands\n"
        "commands.COMMANDS['spoilt'] = ('spoilt:spoilt', 'fails')\n"
        "from tiltmeter.cli.app import main\n"
        "main(sys.argv[1:])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_unexpected_error_is_one_line_and_debug_shows_where():
    plain = run_with("def spoilt():\n    '''Fails.'''\n    return 1 / 0", "spoilt")
    assert plain.returncode == 1
    assert plain.stderr.startswith("tiltmeter: unexpected ZeroDivisionError: division by zero")
    assert "--debug" in plain.stderr
    assert "Traceback" not in plain.stderr
    shown = run_with("def spoilt():\n    '''Fails.'''\n    return 1 / 0", "spoilt", "--debug")
    assert "Traceback" in shown.stderr


def test_a_missing_package_names_the_extra():
    ran = run_with("def spoilt():\n    '''Fails.'''\n    import streamlit_is_not_here", "spoilt")
    assert ran.returncode == 1
    assert 'pip install "tiltmeter[local]"' in ran.stderr
    ran = run_with("def spoilt():\n    '''Fails.'''\n    raise ModuleNotFoundError(name='streamlit.web')", "spoilt")
    assert 'pip install "tiltmeter[dashboard]"' in ran.stderr


def test_an_error_text_cannot_steer_the_terminal():
    command = (
        "from tiltmeter.domain.errors import DataError\n"
        "def spoilt():\n    '''Fails.'''\n    raise DataError('bad \\x1b[31m name\\nsecond line')"
    )
    ran = run_with(command, "spoilt")
    assert ran.returncode == 1
    assert "\x1b" not in ran.stderr
    assert ran.stderr.count("\n") == 1
