"""Local receivers leave nothing open, whenever they are ended."""

from __future__ import annotations

import gc
import socket

from tiltmeter.testing.receivers import SmtpReceiver


def test_a_mail_server_that_ends_while_clients_connect_closes_every_connection():
    for _ in range(20):  # an open socket is told by its ResourceWarning, which fails the test
        with SmtpReceiver() as receiver:
            clients = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(3)]
        for client in clients:
            client.close()
        del receiver
        gc.collect()
