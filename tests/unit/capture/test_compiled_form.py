"""Both forms of capture: which one runs, and that they write the same records."""

import asyncio
import os

import pytest

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.exchange import SWIFTEST, Exchange, SwiftExchange
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.record import decode_record
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments
from tiltmeter.capture.swift import COMPILED, FORM

COMPILED_ONLY = pytest.mark.skipif(not COMPILED, reason="this installation is pure Python (test_compiled_capture.py)")
BODIES = [b"", b"{}", b'{"a": 1}', b"x" * 31, b"x" * 255, b"x" * 256, b"x" * 65_535, b"x" * 65_536, b"x" * 70_000]


def test_the_form_that_was_built_is_the_form_that_runs():
    wanted = os.environ.get("TILTMETER_EXPECT_COMPILED") == "1"
    assert (wanted, FORM) in {(True, "compiled"), (False, FORM)}


class Route:
    methods = frozenset({"POST"})

    def __init__(self, path):
        self.path = path


def records(folder, exchange_type, options, cases):
    """What the spool holds after these requests, without what depends on the moment."""
    writer = SpoolWriter(folder, budget=Budget(10**12, 0.0))
    watched = Capture(lambda *_: None, writer=writer, **options)

    async def one(case):
        body, answer, route, status, more = case
        scope = {"type": "http", "method": "POST", "path": "/x", "root_path": "", "headers": [(b"host", b"h")]}
        sent = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            sent.append(message)

        exchange = exchange_type(watched._options, writer, scope, receive, send)
        assert (await exchange.receive())["body"] == body
        scope["route"] = Route(route)
        await exchange.send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b"), *more]})
        await exchange.send({"type": "http.response.body", "body": answer[:3], "more_body": len(answer) > 300})
        if len(answer) > 300:
            await exchange.send({"type": "http.response.body", "body": answer[3:]})
        names = [name for name, _ in sent[0]["headers"]]
        assert names.count(b"x-request-id") == 1

    async def all_of_them():
        for case in cases:
            await one(case)

    asyncio.run(all_of_them())
    watched.close()
    found = []
    for segment in sealed_segments(folder):
        for _, payload in read_segment(segment.path).records:
            record = decode_record(payload)
            same = {name: getattr(record, name) for name in record.__struct_fields__}
            for moving in ("time_us", "duration_us", "request_id"):
                assert same.pop(moving)
            found.append(same)
    return found


@COMPILED_ONLY
@pytest.mark.parametrize(
    "options",
    [
        {"model": "lead-scoring", "model_version": "14"},
        {"model": "Größe-läuft " * 40, "model_version": lambda: "7"},
        {"model": "m", "drop": ["a"], "sampling": 0.25},
        {"model": "m", "models": {"/a": "other"}},
        {"model": "m", "max_body": 300},
    ],
)
def test_both_forms_write_the_same_records(tmp_path, options):
    routes = ["/score", "/leads/{lead_id}", "/" + "r" * 250, "/" + "r" * 3_000, ""]
    cases = [(body, answer, "/score", 200, []) for body in BODIES for answer in BODIES[:5]]
    cases += [(b"{}", b"{}", route, 200, []) for route in routes]
    cases += [(b"{}", b"[]", "/score", status, []) for status in (100, 127, 201, 255, 399, 404, 500)]
    cases += [
        (b"{}", b"[]", "/score", 200, [(b"content-encoding", b"br")]),
        (b"{}", b"", "/a", 200, [(b"x-request-id", b"7")]),
    ]
    compiled = records(tmp_path / "compiled", SwiftExchange, options, cases)
    assert len(compiled) == len(cases)
    assert compiled == records(tmp_path / "python", Exchange, options, cases)


class FutureMessage:
    """An awaitable of another make than `async def`."""

    def __init__(self, message):
        self.message = message

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.message


def watched_by(receive, folder):
    writer = SpoolWriter(folder, budget=Budget(10**12, 0.0))
    capture = Capture(lambda *_: None, model="m", writer=writer)
    scope = {"type": "http", "method": "POST", "path": "/x", "root_path": "", "headers": []}
    return SWIFTEST(capture._options, writer, scope, receive, receive)


def test_receive_is_what_servers_and_frameworks_expect_of_a_coroutine(tmp_path):
    async def look():
        async def receive():
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"first"}

        exchange = watched_by(receive, tmp_path / "a")
        assert (await asyncio.create_task(exchange.receive()))["body"] == b"first"
        assert exchange._body == b"first"

        given = watched_by(lambda: FutureMessage({"type": "http.request", "body": b"other"}), tmp_path / "b")
        assert (await given.receive())["body"] == b"other"
        assert given._body == b"other"

    asyncio.run(look())


def test_a_cancelled_receive_reaches_the_server_and_what_the_server_makes_of_it_comes_back(tmp_path):
    async def look():
        async def patient():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return {"type": "http.disconnect"}

        async def broken():
            await asyncio.sleep(0)
            raise ConnectionResetError

        answered = asyncio.create_task(watched_by(patient, tmp_path / "a").receive())
        await asyncio.sleep(0)
        answered.cancel()
        assert (await answered)["type"] == "http.disconnect"

        with pytest.raises(ConnectionResetError):
            await watched_by(broken, tmp_path / "b").receive()

        left = watched_by(patient, tmp_path / "c").receive()
        left.close()

    asyncio.run(look())
