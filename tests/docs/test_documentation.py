"""The documentation is whole and true: generated pages are current, every public name is explained, examples hold."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from tiltmeter.channels import CHANNELS
from tiltmeter.cli.app import load_command
from tiltmeter.cli.commands import COMMANDS
from tiltmeter.config.reference_page import MEANINGS, settings_keys
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.statistics.drift import STATISTICS
from tiltmeter.store.schema import TABLES

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _generator():
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generated()


GENERATED = _generator()


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_a_generated_file_is_current(name):
    assert (REPOSITORY / name).read_text(encoding="utf-8") == GENERATED[name](), "run: make docs"


def test_every_setting_has_its_words_and_no_words_are_left_over():
    assert {key for key, _ in settings_keys()} == set(MEANINGS)


def _leaves(name, command):
    below = getattr(command, "commands", None)
    if not below:
        return [(name, command)]
    return [leaf for word, inner in below.items() for leaf in _leaves(f"{name} {word}", inner)]


LEAVES = dict(leaf for name in COMMANDS for leaf in _leaves(name, load_command(name)))


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_says_what_it_does_with_an_example(name):
    command = LEAVES[name]
    assert "Example" in (command.help or "")
    assert f"tiltmeter {name}" in command.help
    unexplained = [p.name for p in command.params if not getattr(p, "help", None) and p.name != "help"]
    assert not unexplained


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/tables.md", [column.name for table in TABLES.values() for column in table.columns]),
        ("docs/tables.md", list(TABLES)),
        ("docs/statistics.md", STATISTICS.names()),
        ("docs/monitors.md", list(CATALOGUE)),
        ("docs/channels.md", [kind for kind in CHANNELS.names() if kind != "null"]),
    ],
)
def test_every_public_name_stands_on_its_page(page, names):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text and not re.search(rf"\b{re.escape(name)}\b", text)]


def _blocks(language):
    return [
        pytest.param(body, id=f"{page.name}-{number}")
        for page, text in TEXT.items()
        for number, (found, body) in enumerate(BLOCK.findall(text))
        if found == language
    ]


@pytest.mark.parametrize("body", _blocks("python"))
def test_python_of_the_documentation_compiles(body):
    compile(body, "documentation", "exec")


@pytest.mark.parametrize("body", _blocks("json"))
def test_json_of_the_documentation_parses(body):
    json.loads(body)


@pytest.mark.parametrize("body", _blocks("yaml"))
def test_yaml_of_the_documentation_parses(body):
    yaml.safe_load(body)


@pytest.mark.parametrize("body", [block for block in _blocks("") if "\ntiltmeter " in "\n" + block.values[0]])
def test_commands_of_the_documentation_exist_with_their_options(body):
    for line in body.replace("\\\n", " ").splitlines():
        if not line.startswith("tiltmeter ") or "…" in line or "..." in line:
            continue
        words = shlex.split(line, comments=True)[1:]
        name = next((n for n in LEAVES if words[: len(n.split())] == n.split()), None)
        if words[0].startswith("-"):
            continue
        assert name, line
        known = {option for p in LEAVES[name].params for option in [*p.opts, *p.secondary_opts]} | {"--help", "--debug"}
        unknown = [w for w in words if w.startswith("-") and w.split("=")[0] not in known and not _is_number(w)]
        assert not unknown, line


def _is_number(word):
    return bool(re.fullmatch(r"-?\d+(\.\d+)?", word))


def test_links_between_pages_lead_somewhere():
    for page, text in TEXT.items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
