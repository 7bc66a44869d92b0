"""Whatever fails inside of the monitor, the model's answers stay as they are: not one more 5xx."""

import asyncio
import errno
import os
import random
from collections import Counter

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

import tiltmeter
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.files import LocalFiles
from tiltmeter.capture.spool import SpoolWriter

ROOMY = Budget(max_bytes=10**12, min_free=0.0)
OPERATIONS = (
    "open",
    "write",
    "overwrite",
    "truncate",
    "sync",
    "sync_folder",
    "rename",
    "names",
    "size",
    "space",
    "head",
)


class SickFiles(LocalFiles):
    """Every operation fails now and then, in spells, with the errors that disks give."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.spell = 0
        for name in OPERATIONS:
            setattr(self, name, self._sick(getattr(super(), name)))

    def _sick(self, healthy):
        def call(*args, **options):
            if self.spell:
                self.spell -= 1
            elif self.rng.random() < 0.02:
                self.spell = self.rng.choice((1, 1, 30))
            if self.spell:
                number = self.rng.choice((errno.EIO, errno.ENOSPC, errno.EINTR, errno.ENOENT, errno.EMFILE))
                raise OSError(number, os.strerror(number))
            return healthy(*args, **options)

        return call


class Lead(BaseModel):
    size: float
    plan: str


def service():
    app = FastAPI()

    @app.post("/score")
    async def score(lead: Lead):
        tiltmeter.log(features={"strange": object(), "looked_up": lead.size})
        return {"score": 0.5}

    @app.post("/sync")
    def sync_score(lead: Lead):
        if lead.size > 8:
            raise HTTPException(409, "too large")
        return {"score": lead.size}

    @app.post("/broken")
    async def broken():
        raise RuntimeError("the model's own fault")

    @app.get("/stream")
    async def stream():
        return StreamingResponse(iter([b"a", b"b"]))

    return app


def raises():
    raise RuntimeError("no version")


BODIES = (
    b'{"size": 1.5, "plan": "pro"}',
    b'{"size": 9, "plan": ""}',
    b"{",
    b"",
    b"[NaN, 1e400]",
    b'{"size": "\\ud800"}',
)
PATHS = (
    ("POST", "/score", 6),
    ("POST", "/sync", 1),
    ("POST", "/broken", 1),
    ("GET", "/stream", 1),
    ("GET", "/none", 1),
)


def requests(number):
    rng = random.Random(5)
    kinds = [(method, path) for method, path, times in PATHS for _ in range(times)]
    return [(*rng.choice(kinds), rng.choice(BODIES)) for _ in range(number)]


async def answers(app, asked):
    """Status and body of each answer; 599 for an exception that reached the server."""
    found = []
    for method, path, body in asked:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "state": {},
        }  # fmt: skip
        told = [{"type": "http.request", "body": body, "more_body": False}]
        status, text = [], []

        async def receive(told=told):
            return told.pop() if told else {"type": "http.disconnect"}

        async def send(message, status=status, text=text):
            status.append(message.get("status"))
            text.append(message.get("body", b""))

        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the framework's own failures, which must stay as they are
            text.append(type(error).__name__.encode())
        found.append((next((code for code in status if code), 599), b"".join(text)))
    return found


FAULTS = {
    "sick disk": lambda folder: {"writer": SpoolWriter(folder, budget=ROOMY, files=SickFiles(1))},
    "sick disk, waited for": lambda folder: {
        "writer": SpoolWriter(folder, budget=ROOMY, files=SickFiles(2), durability="disk"), "block_seconds": 0.05,
    },
    "full spool": lambda folder: {"writer": SpoolWriter(folder, budget=Budget(max_bytes=100_000, min_free=0.0))},
    "no folder": lambda folder: {"spool": folder / "file" / "spool"},
    "version raises": lambda folder: {"spool": folder, "model_version": raises},
    "chance raises": lambda folder: {"spool": folder, "sampling": 0.5, "chance": raises},
    "privacy": lambda folder: {"spool": folder, "drop": ["size"], "truncate": {"plan": 1}},
}  # fmt: skip


def unharmed(tmp_path, fault, number):
    (tmp_path / "file").write_text("no folder")
    asked = requests(number)
    usual = asyncio.run(answers(service(), asked))
    app = service()
    captured = Capture(app, model="m", **FAULTS[fault](tmp_path))
    watched = asyncio.run(answers(app, asked))
    captured.close()
    assert watched == usual
    return Counter(status for status, _ in watched)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_the_monitor_changes_an_answer(tmp_path, fault):
    assert set(unharmed(tmp_path, fault, 150)) == {200, 404, 409, 422, 500}


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_hundred_thousand_requests_see_no_fault_of_the_monitor(tmp_path, fault):
    print(fault, dict(unharmed(tmp_path, fault, 2_000 if "waited" in fault else 16_500)))
