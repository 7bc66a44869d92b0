"""A local server that speaks the parts of the Databricks API that are polled, with its faults. For tests and the demo.

Answers are written by hand from the public reference of Jobs 2.2 and SQL statement execution 2.0.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(slots=True)
class DatabricksFault:
    """One answer that is not the right one.

    Args:
        status: of the answer.
        headers: such as Retry-After.
        body: raw text of the answer.
        is_cut: the connection ends in the middle of the answer.
        hangs: the request is taken and never answered while the server runs.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too many requests"}'
    is_cut: bool = False
    hangs: bool = False


@dataclass(slots=True, eq=False)
class DatabricksServer:
    """Serves job runs on 127.0.0.1 while the context is open.

    Args:
        token: the one that is accepted.
        runs: runs as `jobs/runs/get` answers them, newest first.
        refused: run ids that `runs/get` refuses to show.
        page: runs of one page.
        faults: answers given first, one a request.
        statements: answers of the SQL API, in order; the first to `execute_statement`.
    """

    token: str = "dapi-test"  # noqa: S105 - of a server that exists in tests alone
    runs: list[dict[str, Any]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    page: int = 3
    faults: deque[DatabricksFault] = field(default_factory=deque)
    statements: deque[dict[str, Any]] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""
    stopping: Event = field(default_factory=Event)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        """Start serving on a port that the system chooses."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": self}))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self.stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and body of one request."""
        if path.endswith("/jobs/runs/list"):
            return 200, self._page(query)
        if path.endswith("/jobs/runs/get") and query.get("run_id") in self.refused:
            return 403, {"error_code": "PERMISSION_DENIED", "message": "no view right"}
        if path.endswith("/jobs/runs/get"):
            found = next((run for run in self.runs if str(run["run_id"]) == query.get("run_id")), None)
            return (200, found) if found else (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"})
        if "/sql/statements" in path and self.statements:
            return 200, self.statements.popleft()
        if path.endswith("/scim/v2/Me"):
            return 200, {"userName": "tester"}
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": path}

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        since = int(query.get("start_time_from", 0))
        job = query.get("job_id")
        wanted = [run for run in self.runs if run.get("start_time", 0) >= since and job in (None, str(run["job_id"]))]
        start = int(query.get("page_token") or 0)
        part = [self._cut(run) for run in wanted[start : start + self.page]]
        more = start + self.page < len(wanted)
        return {"runs": part, "has_more": more} | ({"next_page_token": str(start + self.page)} if more else {})

    def _cut(self, run: dict[str, Any]) -> dict[str, Any]:
        # A list shows at most 100 tasks of a run; `has_more` says that the rest is in runs/get.
        tasks = run.get("tasks", [])
        return run | {"tasks": tasks[:100], "has_more": True} if len(tasks) > 100 else run


class _Handler(BaseHTTPRequestHandler):
    """Answers, or fails as told."""

    timeout = 10
    server_state: DatabricksServer  # set on the class made for one server

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        server = self.server_state
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        server.requests.append((parts.path, query))
        if parts.path.startswith("/.well-known"):
            self._send(404, {}, "{}")
        elif self.headers.get("Authorization") != f"Bearer {server.token}":
            self._send(401, {}, '{"error_code": "UNAUTHENTICATED", "message": "invalid token"}')
        elif server.faults:
            self._fail(server.faults.popleft())
        else:
            status, body = server.answer(parts.path, query)
            self._send(status, {"X-Databricks-Org-Id": "6051234418418567"}, json.dumps(body))

    def do_POST(self) -> None:
        """As GET, the body kept."""
        length = min(int(self.headers.get("Content-Length") or 0), 1_000_000)
        self.server_state.posted.append(json.loads(self.rfile.read(length) or b"{}"))
        self.do_GET()

    def _fail(self, fault: DatabricksFault) -> None:
        if fault.hangs:
            self.server_state.stopping.wait()
            self.close_connection = True
        elif fault.is_cut:
            self._send(fault.status, {"Content-Length": str(len(fault.body) * 2)}, fault.body)
            self.close_connection = True
        else:
            self._send(fault.status, fault.headers, fault.body)

    def _send(self, status: int, headers: dict[str, str], text: str) -> None:
        body = text.encode()
        self.send_response(status)
        told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
        """Tests read `requests`."""
