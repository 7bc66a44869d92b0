"""CPU that watching a request adds: capture (with payload) beside two peers (without), on one FastAPI app, in one run.

Needs, in an environment of its own: tiltmeter, fastapi, prometheus-fastapi-instrumentator,
opentelemetry-instrumentation-fastapi, opentelemetry-sdk.

    python benchmarks/peers/capture.py

The application is called in process, bare and watched in turns; what is printed are quartiles of the paired differences
in microseconds of the thread's CPU time a request.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import create_model

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.spool import SpoolWriter

NUMBERS = {f"number_{n}": n * 1.25 for n in range(16)}
WORDS = {f"word_{n}": f"level-{n}" for n in range(9)} | {"entity_id": "lead-1"}
BODY = json.dumps(NUMBERS | WORDS).encode()
HEADERS = [
    (b"host", b"api"),
    (b"user-agent", b"bench"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"accept", b"*/*"),
]
Lead = create_model("Lead", **dict.fromkeys(NUMBERS, (float, ...)), **dict.fromkeys(WORDS, (str, ...)))
Answer = create_model("Answer", score=(float, ...))
ROUNDS, REQUESTS = 30, 500


class NoExport(SpanExporter):
    """Spans are made and thrown away."""

    def export(self, spans):  # noqa: ARG002 - the interface of the exporter
        """Nothing."""
        return SpanExportResult.SUCCESS


def service(predict=None):
    app = FastAPI()

    async def score(lead):
        return {"score": predict(lead) if predict else 0.42}

    score.__annotations__ = {"lead": Lead}
    app.post("/score", response_model=Answer)(score)
    return app


def captured(predict=None, **options):
    app = service(predict)
    writer = SpoolWriter(tempfile.mkdtemp(prefix="bench-peers-"), budget=Budget(10**12, 0.0))
    Capture(app, model="lead-scoring", model_version="14", writer=writer, **options)
    return app


def instrumented(predict=None):
    app = service(predict)
    Instrumentator().instrument(app)
    return app


def traced(predict=None):
    app, provider = service(predict), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(NoExport()))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


async def receive():
    return {"type": "http.request", "body": BODY, "more_body": False}


async def send(message):
    pass


async def microseconds(app, requests):
    begun = time.thread_time()
    for _ in range(requests):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 9000),
            "method": "POST",
            "path": "/score",
            "raw_path": b"/score",
            "query_string": b"",
            "root_path": "",
            "headers": HEADERS,
            "state": {},
        }
        await app(scope, receive, send)
    return (time.thread_time() - begun) / requests * 1e6


async def main():
    bare = service()
    watched = {
        "tiltmeter": captured(),
        "tiltmeter, reduced": captured(drop=["word_3"]),
        "prometheus": instrumented(),
        "opentelemetry": traced(),
    }
    for app in (bare, *watched.values()):
        await microseconds(app, REQUESTS)
    differences = {name: [] for name in watched}
    alone = []
    for _ in range(ROUNDS):
        alone.append(await microseconds(bare, REQUESTS))
        for name, app in watched.items():
            differences[name].append(await microseconds(app, REQUESTS) - alone[-1])
    print(f"{'bare':20} {statistics.median(alone):8.1f}")
    for name, found in differences.items():
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{name:20} {middle:+8.1f}   ({low:+.1f} … {high:+.1f})")


if __name__ == "__main__":
    asyncio.run(main())
