"""Deltalake's own conversions give NULL where a column is mapped, without a word: nothing in the product uses them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tiltmeter

SOURCES = Path(tiltmeter.__file__).parent
BANNED = {"to_pyarrow_table", "to_pyarrow_dataset"}
"""Names that only deltalake has."""
BANNED_BESIDE_DELTALAKE = {"to_pandas"}
"""Arrow tables have it too, so it is banned where deltalake is imported."""


def banned_uses(source: str) -> list[str]:
    """Attributes of that name, however they are reached."""
    tree = ast.parse(source)
    imports = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    names = BANNED | (BANNED_BESIDE_DELTALAKE if "deltalake" in imports else set())
    used = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used += [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [name for name in used if name in names]


@pytest.mark.parametrize("file", sorted(SOURCES.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCES)))
def test_no_conversion_of_deltalake_is_used(file):
    assert banned_uses(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from deltalake import DeltaTable\nDeltaTable('t').to_pandas()",
        "import deltalake\ndef read(t):\n    return t.to_pyarrow_table(columns=['a'])",
        "table.to_pyarrow_dataset()",
        "getattr(table, 'to_pyarrow_dataset')()",
    ],
)
def test_the_ban_sees_them(source):
    assert banned_uses(source)
