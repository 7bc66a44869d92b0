"""The page on capture and its example say what the code does."""

import asyncio
import importlib.util
import inspect
import re
from pathlib import Path

import httpx
import pytest

from tiltmeter.capture.counters import NAMES
from tiltmeter.capture.fastapi import Capture

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/capture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("counter", NAMES)
def test_every_counter_is_documented(counter):
    assert f"`{counter}`" in PAGE


def test_every_option_is_documented():
    inner = {"self", "app", "writer", "chance", "hash_key"}
    for option in set(inspect.signature(Capture).parameters) - inner:
        assert f"`{option}`" in PAGE, option


def test_the_code_of_the_page_compiles():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        compile(block, "docs/capture.md", "exec")


async def score(app, lead):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        return await http.post("/score", json=lead)


def test_the_example_records_what_it_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTMETER_SPOOL", str(tmp_path))
    spec = importlib.util.spec_from_file_location("example_app", ROOT / "examples/fastapi/app.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    answer = asyncio.run(score(example.app, {"entity_id": "lead-1", "company_size": 40, "email": "SECRET"}))
    assert answer.status_code == 200
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"SECRET" not in written
    assert answer.headers["x-request-id"].encode() in written
