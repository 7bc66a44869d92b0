"""`Capture` around real FastAPI applications: every answer recorded once, no answer changed."""

import asyncio
import inspect
import subprocess
import sys
import time

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

import tiltmeter
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.mapping import map_request
from tiltmeter.capture.record import decode_record
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments
from tiltmeter.domain.errors import ConfigError, UsageError

ROOMY = Budget(max_bytes=10**12, min_free=0.0)


class Lead(BaseModel):
    size: float
    plan: str = "free"
    email: str = ""


def service():
    app = FastAPI()

    @app.post("/score/{version}")
    async def score(version: str, lead: Lead, later: BackgroundTasks):
        tiltmeter.log(features={"looked_up": 3}, entity_id="lead-1")
        later.add_task(time.sleep, 0.15)
        return {"score": lead.size / 10}

    @app.post("/sync")
    def in_a_thread(lead: Lead):
        tiltmeter.log(prediction=0.7)
        return {"size": lead.size}

    @app.get("/teapot")
    def teapot():
        raise HTTPException(418)

    @app.get("/boom")
    def boom():
        raise RuntimeError("with customer data")

    @app.get("/stream")
    async def stream():
        async def pieces():
            for number in range(3):
                await asyncio.sleep(0.01)
                yield f"c{number}"

        return StreamingResponse(pieces())

    @app.get("/broken-stream")
    async def broken():
        async def pieces():
            yield "x"
            raise ValueError("half way")

        return StreamingResponse(pieces())

    @app.post("/raw")
    async def raw(body: dict):
        return {"score": 0.5}

    @app.get("/big")
    async def big():
        return JSONResponse({"text": "x" * 3_000_000})

    @app.get("/named")
    async def named():
        return JSONResponse({}, headers={"x-request-id": "from-the-app"})

    @app.get("/metrics/deep")
    async def metrics():
        return {}

    return app


def capture(app, spool, **options):
    writer = SpoolWriter(spool, budget=ROOMY, threaded=False)
    return Capture(app, **{"model": "lead-scoring", "model_version": "14", "writer": writer, **options})


def ask(app, *requests, **client):
    async def main():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api", **client) as http:
            return [await http.request(method, path, **more) for method, path, more in requests]

    return asyncio.run(main())


def records(captured):
    spool = captured.writer.spool
    captured.close()
    return [decode_record(p) for s in sealed_segments(spool) for _, p in read_segment(s.path).records]


def recorded(spool, *requests, app=None, **options):
    app = app or service()
    captured = capture(app, spool, **options)
    answers = ask(app, *requests)
    return answers, records(captured)


LEAD = {"size": 5, "plan": "pro", "email": "SECRET@example.com"}


def test_one_line_records_a_request_with_everything_it_says(tmp_path):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (answer,), (record,) = recorded(
        tmp_path,
        ("POST", "/score/14", {"json": LEAD, "headers": {"traceparent": trace, "x-user": "crm"}}),
        requester_header="X-User",
    )
    assert answer.json() == {"score": 0.5}
    assert answer.headers["x-request-id"] == record.request_id
    assert (record.model, record.model_version, record.method, record.route) == (
        "lead-scoring",
        "14",
        "POST",
        "/score/{version}",
    )
    assert record.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert record.span_id == "b7ad6b7169203331"
    assert record.requester == "crm"
    row = map_request(record, event_id="e").rows[0]
    assert row["features"] == {"size": 5.0, "plan": "pro", "email": "SECRET@example.com", "looked_up": 3.0}
    assert (row["prediction"], row["entity_id"], row["status_code"]) == (0.5, "lead-1", 200)


def test_background_tasks_do_not_count_as_latency(tmp_path):
    _, (record,) = recorded(tmp_path, ("POST", "/score/1", {"json": LEAD}))
    assert record.duration_us < 150_000


def test_log_works_in_the_thread_of_a_sync_endpoint(tmp_path):
    _, (record,) = recorded(tmp_path, ("POST", "/sync", {"json": LEAD}))
    assert record.logged[0].prediction == 0.7


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "route", "error"),
    [
        ("POST", "/score/1", {"size": "x"}, 422, "/score/{version}", "RequestValidationError"),
        ("GET", "/teapot", None, 418, "/teapot", "HTTPException"),
        ("GET", "/boom", None, 500, "/boom", "RuntimeError"),
        ("GET", "/nowhere/17", None, 404, "(unmatched)", "HTTPException"),
        ("GET", "/sync", None, 405, "/sync", "HTTPException"),
        ("GET", "/broken-stream", None, 500, "/broken-stream", "ValueError"),
    ],
)
def test_errors_are_recorded_by_type(tmp_path, method, path, body, status, route, error):
    _, (record,) = recorded(tmp_path, (method, path, {"json": body}))
    assert (record.status, record.route, record.error_type) == (status, route, error)


@pytest.mark.parametrize("path", ["/teapot", "/boom", "/nowhere", "/stream", "/named", "/big"])
def test_answers_are_the_same_as_without_capture(tmp_path, path):
    bare = ask(service(), ("GET", path, {}))[0]
    (watched,), _ = recorded(tmp_path, ("GET", path, {}))
    assert (watched.status_code, watched.content) == (bare.status_code, bare.content)
    drop = {"x-request-id"} - set(bare.headers)
    assert {k: v for k, v in watched.headers.items() if k not in drop} == dict(bare.headers)


def test_a_stream_passes_piece_by_piece_and_is_recorded_whole(tmp_path):
    _, (record,) = recorded(tmp_path, ("GET", "/stream", {}))
    assert record.response == b"c0c1c2"
    assert record.duration_us >= 30_000


def test_bodies_are_capped_also_as_one_large_piece(tmp_path):
    _, (big, posted) = recorded(
        tmp_path,
        ("GET", "/big", {}),
        ("POST", "/raw", {"content": b'{"x": "' + b"y" * 20_000_000 + b'"}'}),
        max_body=1000,
    )
    assert len(big.response) == 1000
    assert big.response_bytes > 3_000_000
    assert len(posted.request) == 1000
    assert posted.request_bytes > 20_000_000


def test_the_clients_request_id_is_kept_and_answered(tmp_path):
    answers, kept = recorded(
        tmp_path,
        ("GET", "/stream", {"headers": {"x-request-id": "from-the-client"}}),
        ("GET", "/stream", {"headers": {"x-request-id": "bad id " + "x" * 300}}),
        ("GET", "/named", {}),
    )
    assert answers[0].headers["x-request-id"] == kept[0].request_id == kept[0].client_request_id == "from-the-client"
    assert kept[1].client_request_id is None
    assert len(kept[1].request_id) == 32
    assert answers[2].headers.get_list("x-request-id") == ["from-the-app"]
    assert kept[2].request_id == "from-the-app"


def test_excluded_paths_are_not_recorded(tmp_path):
    _, kept = recorded(tmp_path, ("GET", "/docs", {}), ("GET", "/openapi.json", {}), ("GET", "/metrics/deep", {}))
    assert kept == []


def test_sampling_keeps_its_fraction_in_every_record(tmp_path):
    chances = iter([0.05, 0.5, 0.09, 0.9])
    _, kept = recorded(tmp_path, *[("GET", "/teapot", {})] * 4, sampling=0.1, chance=lambda: next(chances))
    assert [record.sampling for record in kept] == [0.1, 0.1]


def test_several_models_in_one_app(tmp_path):
    _, kept = recorded(
        tmp_path,
        ("POST", "/score/1", {"json": LEAD}),
        ("POST", "/sync", {"json": LEAD}),
        ("GET", "/teapot", {}),
        model="",
        models={"/score/{version}": "lead-scoring", "/sync": "churn"},
        model_version={"churn": lambda: "7"},
    )
    assert [(record.model, record.model_version) for record in kept] == [("lead-scoring", ""), ("churn", "7")]


def test_routes_of_included_routers_and_mounts_are_whole_templates(tmp_path):
    app, router, mounted = FastAPI(), APIRouter(prefix="/v1/{tenant}"), FastAPI()

    @router.post("/score/{lead}")
    async def score(tenant: str, lead: int):
        return {"score": 0.5}

    @mounted.get("/in/{lead}")
    async def inside(lead: int):
        return {}

    async def plain(request):
        return JSONResponse({})

    app.include_router(router, prefix="/api")
    app.mount("/m/{org}", mounted)
    app.mount("/st", Starlette(routes=[Route("/a/{b}", plain)]))
    _, kept = recorded(
        tmp_path,
        ("POST", "/api/v1/acme/score/3", {}),
        ("GET", "/m/acme/in/3", {}),
        ("GET", "/st/a/zz", {}),
        ("GET", "/st/none", {}),
        app=app,
    )
    assert [record.route for record in kept] == [
        "/api/v1/{tenant}/score/{lead}",
        "/m/{org}/in/{lead}",
        "/st/a/{b}",
        "(unmatched)",
    ]


def test_a_made_up_method_does_not_make_a_series(tmp_path):
    _, (record,) = recorded(tmp_path, ("PROPFIND17", "/teapot", {}))
    assert record.method == "OTHER"


def test_private_fields_do_not_reach_the_spool(tmp_path, monkeypatch):
    monkeypatch.setenv("TILTMETER_HASH_KEY", "k")
    bad = {"size": "x", "email": "SECRET@example.com"}
    _, kept = recorded(
        tmp_path,
        ("POST", "/score/1", {"json": LEAD}),
        ("POST", "/score/1", {"json": bad}),
        ("POST", "/raw", {"content": b"email=SECRET@example.com"}),
        ("POST", "/raw", {"content": b'{"email": "SECRET' + b"x" * 2000 + b'"}'}),
        drop=["email"],
        hash=["plan"],
        max_body=1000,
    )
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"SECRET" not in written
    assert len(kept) == 4
    assert all(record.reduced for record in kept)
    features = map_request(kept[0], event_id="e").rows[0]["features"]
    assert features["size"] == 5.0
    assert features["plan"].startswith("hmac:")


HOSTILE = {
    "nan": b'{"size": NaN}',
    "infinity": b'{"size": 1e400}',
    "surrogate": b'{"size": 1, "plan": "\\ud800"}',
    "nesting": b"[" * 100_000,
    "object nesting": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "large": b'{"size": 1, "plan": "' + b"x" * 20_000_000 + b'"}',
    "digits": b'{"size": ' + b"9" * 5000 + b"}",
    "not utf-8": b'{"size": "\xff\xfe"}',
    "empty": b"",
    "nul": b'{"size": 1, "plan": "\\u0000"}',
    "not json": b"\x00\x01\x02",
}


@pytest.mark.parametrize("options", [{}, {"drop": ["email"]}], ids=["raw", "reduced"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_recorded_and_never_an_error_of_ours(tmp_path, name, options):
    request = ("POST", "/score/1", {"content": HOSTILE[name], "headers": {"content-type": "application/json"}})
    bare = ask(service(), request)[0]
    app = service()
    captured = capture(app, tmp_path, **options)
    (watched,) = ask(app, request)
    assert (watched.status_code, watched.content) == (bare.status_code, bare.content)
    assert captured.writer.counters.values().get("capture_errors", 0) == 0
    (record,) = records(captured)
    assert record.status == bare.status_code
    assert map_request(record, event_id="e").rows


class BrokenWriter(SpoolWriter):
    def put(self, payload):
        raise ZeroDivisionError


@pytest.mark.parametrize("on_full", ["drop", "block", "fail_request"])
def test_no_error_of_ours_changes_an_answer(tmp_path, on_full):
    app = service()
    writer = BrokenWriter(tmp_path, threaded=False)
    capture(app, tmp_path, writer=writer, on_full=on_full)
    (answer,) = ask(app, ("POST", "/score/1", {"json": LEAD}))
    assert answer.json() == {"score": 0.5}
    assert writer.counters.values() == {"capture_errors": 1}


def test_a_model_version_that_raises_costs_the_version_only(tmp_path):
    def failing_version():
        raise ZeroDivisionError

    (answer,), (record,) = recorded(tmp_path, ("POST", "/score/1", {"json": LEAD}), model_version=failing_version)
    assert answer.json() == {"score": 0.5}
    assert record.model_version == ""


def test_a_value_that_cannot_be_logged_does_not_fail_the_handler(tmp_path):
    app = FastAPI()

    class Hostile:
        def __str__(self):
            raise ValueError

    @app.get("/")
    async def handler():
        tiltmeter.log(features={"x": Hostile()})
        tiltmeter.log(features=17)
        tiltmeter.log(prediction="high")
        tiltmeter.log(features={"ok": 1})
        return {}

    captured = capture(app, tmp_path)
    assert ask(app, ("GET", "/", {}))[0].status_code == 200
    assert captured.writer.counters.values() == {"capture_errors": 3}
    (record,) = records(captured)
    assert [said.features for said in record.logged] == [{"ok": 1}]


def test_log_outside_of_a_request_does_nothing_and_counts(tmp_path):
    app = service()
    captured = capture(app, tmp_path)
    tiltmeter.log(prediction=0.5)
    assert captured.writer.counters.values() == {"logs_outside_requests": 1}
    captured.close()


def test_a_full_spool_drops_and_counts_and_answers(tmp_path):
    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=0, min_free=0.0), threaded=False)
    app = service()
    captured = capture(app, tmp_path, writer=writer)
    answers = ask(app, *[("POST", "/sync", {"json": LEAD})] * 5)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert writer.counters.values() == {"dropped_full": 5}
    captured.close()


def test_fail_request_answers_503_and_nothing_else(tmp_path):
    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=0, min_free=0.0), threaded=False)
    app = service()
    captured = capture(app, tmp_path, writer=writer, on_full="fail_request")
    answers = ask(app, *[("POST", "/sync", {"json": LEAD})] * 3)
    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[0].json() == {"detail": "the prediction could not be recorded"}
    assert writer.counters.values() == {"dropped_full": 3, "refused_requests": 3}
    captured.close()


def test_fail_request_leaves_answers_alone_while_there_is_room(tmp_path):
    (plain, streamed), kept = recorded(
        tmp_path, ("POST", "/sync", {"json": LEAD}), ("GET", "/stream", {}), on_full="fail_request"
    )
    assert plain.json() == {"size": 5.0}
    assert streamed.content == b"c0c1c2"
    assert len(kept) == 2


def test_block_waits_for_room(tmp_path):
    rooms = iter([0] * 3)

    class Room(Budget):
        def room(self, files, spool):
            return next(rooms, 10**9)

    writer = SpoolWriter(tmp_path, budget=Room())
    app = service()
    captured = capture(app, tmp_path, writer=writer, on_full="block", block_seconds=10.0)
    assert ask(app, ("POST", "/sync", {"json": LEAD}))[0].status_code == 200
    assert writer.counters.values() == {}
    assert len(records(captured)) == 1


def test_block_gives_up_after_its_time(tmp_path):
    writer = SpoolWriter(tmp_path, budget=Budget(max_bytes=0, min_free=0.0), threaded=False)
    app = service()
    captured = capture(app, tmp_path, writer=writer, on_full="block", block_seconds=0.05)
    assert ask(app, ("POST", "/sync", {"json": LEAD}))[0].status_code == 200
    assert writer.counters.values() == {"dropped_full": 1}
    captured.close()


def test_disk_durability_answers_after_the_sync(tmp_path):
    app = service()
    captured = capture(app, tmp_path, writer=SpoolWriter(tmp_path, budget=ROOMY, durability="disk"))
    answers = ask(app, *[("POST", "/sync", {"json": LEAD})] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(records(captured)) == 3


def test_it_works_as_middleware_class_and_around_any_asgi_application(tmp_path):
    app = service()
    writer = SpoolWriter(tmp_path, budget=ROOMY, threaded=False)
    app.add_middleware(Capture, model="m", writer=writer)
    ask(app, ("POST", "/sync", {"json": LEAD}))

    async def plain(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b'{"score": 1}'})

    around = Capture(plain, model="m", writer=writer)
    (answer,) = ask(around, ("GET", "/", {}))
    assert answer.content == b'{"score": 1}'
    assert [record.response for record in records(around)] == [b'{"size":5.0}', b'{"score": 1}']


def test_calling_the_capture_itself_records_once(tmp_path):
    app = service()
    captured = capture(app, tmp_path)
    ask(captured, ("POST", "/sync", {"json": LEAD}))
    assert len(records(captured)) == 1


def test_servers_see_that_it_speaks_asgi_3(tmp_path):
    # uvicorn takes an object whose __call__ is no coroutine function for an application of ASGI 2.
    assert inspect.iscoroutinefunction(capture(service(), tmp_path).__call__)


def test_a_compressed_answer_of_an_inner_middleware_is_understood(tmp_path):
    app = service()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    _, (record,) = recorded(tmp_path, ("POST", "/score/1", {"json": LEAD}), app=app)
    assert record.response_encoding == "gzip"
    assert map_request(record, event_id="e").rows[0]["prediction"] == 0.5


def test_an_application_that_gives_up_is_recorded(tmp_path):
    async def silent(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    captured = capture(silent, tmp_path)
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(captured(scope, None, send))
    (record,) = records(captured)
    assert record.error_type == "IncompleteResponse"


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
def test_an_answer_that_the_server_reads_from_a_file_is_complete(tmp_path, kind):
    async def from_a_file(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": kind, "path": "/srv/report.pdf", "file": 3})

    captured = capture(from_a_file, tmp_path)
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(captured({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send))
    (record,) = records(captured)
    assert (record.status, record.error_type, record.response) == (200, None, b"")
    assert sent == ["http.response.start", kind]


def test_a_cancelled_request_is_recorded_and_stays_cancelled(tmp_path):
    async def slow(scope, receive, send):
        await asyncio.sleep(60)

    captured = capture(slow, tmp_path)

    async def main():
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        task = asyncio.create_task(captured(scope, None, None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (record,) = records(captured)
    assert (record.status, record.error_type) == (499, "CancelledError")


def test_websockets_and_lifespan_pass_untouched(tmp_path):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], receive, send))

    captured = capture(app, tmp_path)
    for kind in ("websocket", "lifespan"):
        asyncio.run(captured({"type": kind}, "receive", "send"))
    assert seen == [("websocket", "receive", "send"), ("lifespan", "receive", "send")]
    assert records(captured) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "knows no model"),
        ({"sampling": 0.0}, "sampling"),
        ({"sampling": 1.5}, "sampling"),
        ({"on_full": "explode"}, "on_full"),
        ({"hash": ["phone"]}, "TILTMETER_HASH_KEY"),
    ],
)
def test_a_wrong_option_is_refused_at_the_start(tmp_path, monkeypatch, options, message):
    monkeypatch.delenv("TILTMETER_HASH_KEY", raising=False)
    with pytest.raises(ConfigError, match=message):
        capture(service(), tmp_path, **options)


def test_too_late_is_said(tmp_path):
    app = service()
    ask(app, ("GET", "/teapot", {}))
    with pytest.raises(UsageError, match="after the application had started"):
        capture(app, tmp_path)


def test_the_default_spool_is_named_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TILTMETER_SPOOL", str(tmp_path / "spool"))
    captured = Capture(service(), model="m")
    captured.close()
    assert capsys.readouterr().err.count(str(tmp_path / "spool")) == 1


def test_capture_is_light():
    code = (
        "import sys, tiltmeter, tiltmeter.capture.fastapi, tiltmeter.capture.outcomes; tiltmeter.log;"
        "heavy = {'numpy', 'scipy', 'pandas', 'polars', 'pyarrow', 'deltalake', 'pydantic', 'sqlalchemy', 'fastapi',"
        "'starlette', 'typer', 'rich'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
