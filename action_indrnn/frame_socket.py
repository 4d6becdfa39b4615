"""JSON Lines on a socket: every connection has a stream of its own."""

import json
import socketserver
import threading
from collections.abc import Callable

import torch

from action_indrnn.dialogue import Dialogue, answer

CONNECTIONS = 32
IDLE = 600.0  # seconds in which a connection sends nothing, or takes no answer, before it is closed


class Server(socketserver.ThreadingTCPServer):
    """Answers JSON Lines on a socket; every connection has a stream of its own.

    Args:
        address: host and port; port 0 takes a free one.
        fresh: makes what a connection gets.

    Raises:
        ValueError: the address is taken, or none of this machine.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128  # connections that wait to be taken

    def __init__(self, address: tuple[str, int], fresh: Callable[[], Dialogue]) -> None:
        self.fresh = fresh
        self.places = threading.BoundedSemaphore(CONNECTIONS)
        self.threads = torch.get_num_threads()
        try:
            super().__init__(address, _Connection)
        except OSError as error:
            place = f"{address[0]}:{address[1]}"
            raise ValueError(f"--listen: {place}: cannot listen there: {error.strerror or error}") from error


class _Connection(socketserver.StreamRequestHandler):
    server: Server

    def setup(self) -> None:
        """Let no silent other side keep its place for ever, and the thread work on as many cores as ours."""
        super().setup()
        self.connection.settimeout(IDLE)
        torch.set_num_threads(self.server.threads)  # OpenMP counts them anew in every thread

    def handle(self) -> None:
        """Answer until the other side ends."""
        if not self.server.places.acquire(blocking=False):
            error = f"expected at most {CONNECTIONS} connections at once, found more; try again later"
            self._write(json.dumps({"field": "", "error": error}) + "\n")
            return
        try:
            answer(self.rfile, self._write, self.server.fresh())
        except (ConnectionError, TimeoutError):  # the other side is gone, or as good as gone
            return
        finally:
            self.server.places.release()

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())


def address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        ValueError: something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"--listen: expected HOST:PORT, as 127.0.0.1:7000, found '{text}'")
    return host, int(port)
