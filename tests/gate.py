"""A port in front of a local server that can be shut, at once or right before an answer comes back."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from threading import Lock, Thread
from urllib.parse import urlsplit

_WHOLE_ADDRESS = re.compile(rb"\A([A-Z]+) http://[^/ ]+/")


class Gate:
    """Forwards connections while it is open.

    Args:
        uri: of the server behind it.
        is_proxy: whether clients name the server they mean in each request, as to an HTTP proxy.
    """

    def __init__(self, uri, *, is_proxy=False):
        self._is_proxy = is_proxy
        parts = urlsplit(uri)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._lock = Lock()
        self._connections = []
        self._answers_left = None
        self.uri = f"http://127.0.0.1:{self._port}"
        self.shut()

    def open(self, *, answers=None):
        """Let connections through; after so many answers the next one is lost and the gate is shut."""
        self._answers_left = answers
        self._listener = socket.create_server(("127.0.0.1", self._port))
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self):
        """Refuse new connections and cut those that are open."""
        with self._lock:
            ends, self._connections = [self._listener, *self._connections], []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._connections += [client, server]
                Thread(target=self._pump, args=(client, server), daemon=True).start()
                Thread(target=self._pump, args=(server, client), kwargs={"is_answer": True}, daemon=True).start()

    def _pump(self, source, sink, *, is_answer=False):
        with suppress(OSError):
            while piece := source.recv(65536):
                if is_answer and piece.startswith(b"HTTP/1.1 ") and self._is_lost():
                    self.shut()
                    return
                if self._is_proxy and not is_answer:
                    piece = _WHOLE_ADDRESS.sub(rb"\1 /", piece)
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _is_lost(self):
        if self._answers_left is None:
            return False
        self._answers_left -= 1
        return self._answers_left < 0
