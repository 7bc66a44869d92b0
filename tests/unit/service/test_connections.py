"""Connections without a request, over real sockets against the real server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from tiltmeter.service.connections import BoundedConnection
from tiltmeter.service.home import bound_socket


class Quick(BoundedConnection):
    """The same with little patience."""

    silent_seconds = 0.3
    most_open = 20


async def application(scope, receive, send):
    """Answers; under /slow only after three times that patience."""
    await asyncio.sleep(0.9 if scope["path"] == "/slow" else 0.0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address():
    with served() as found:
        yield found


@contextmanager
def served():
    listening = bound_socket("127.0.0.1", 0, setting="server.port")
    listening.listen(128)
    server = uvicorn.Server(uvicorn.Config(application, http=Quick, log_level="critical", lifespan="off"))
    server.install_signal_handlers = lambda: None
    running = threading.Thread(target=server.run, args=([listening],))
    running.start()
    try:
        yield listening.getsockname()
    finally:
        server.should_exit = True
        running.join(20)
        listening.close()


def closed_after(connection):
    begun = time.monotonic()
    connection.settimeout(20)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "])
def test_a_connection_without_a_whole_request_is_closed(address, sent):
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        assert closed_after(connection) < 10


def test_a_next_request_that_does_not_come_closes_the_connection(address):
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        assert closed_after(connection) < 10


def test_an_answer_that_takes_its_time_is_waited_for(address):
    assert httpx.get(f"http://{address[0]}:{address[1]}/slow", timeout=20).text == "ok"


def test_connections_beyond_the_number_are_closed_at_once_and_others_answered_afterwards(address):
    with ExitStack() as stack:
        many = [stack.enter_context(socket.create_connection(address)) for _ in range(60)]
        assert all(closed_after(connection) < 10 for connection in many)
        assert httpx.get(f"http://{address[0]}:{address[1]}/", timeout=20).text == "ok"
